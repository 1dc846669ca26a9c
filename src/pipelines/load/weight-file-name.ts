/** @file Whether a name can only be that of a file. */

/** Names that can only be those of files; pickles are refused when they are opened, with what to do. */
const FILE = /\.(safetensors|ckpt|pt|pth|bin|gguf)([?#].*)?$/i;

/** Whether a name is that of a file rather than of a folder or repository. */
export function isWeightFile(source: string): boolean {
  return FILE.test(source);
}
