/**
 * @file What a file really is when it is not the safetensors file that its name promises.
 */

/** A foreign format and what to do about it. */
export interface ForeignFormat {
  readonly what: string;
  readonly remedy: string;
}

/** How to get rid of a pickle; also for the message about .bin files that lie where weights are expected. */
export const CONVERT_REMEDY =
  'Pickles can run any code when they are opened, so calotype never opens them. ' +
  'Look for a .safetensors version of the model, or convert it on a machine where you trust it: ' +
  'in Python, load it with diffusers and call save_pretrained(folder, safe_serialization=True)';

const GET_AGAIN = 'The download went wrong: get the file itself again';

function startsWith(head: Uint8Array, prefix: string): boolean {
  return String.fromCharCode(...head.subarray(0, prefix.length)) === prefix;
}

/** The format that a file's first bytes (64 are enough) are those of, if it is one of those that are often mistaken for safetensors. */
export function sniffForeignFormat(head: Uint8Array): ForeignFormat | undefined {
  if (startsWith(head, 'PK\x03\x04'))
    return { what: 'a zip archive, most likely a PyTorch pickle', remedy: CONVERT_REMEDY };
  // PROTO opcode and protocol version; torch writes 2.
  if (head[0] === 0x80 && head[1] >= 2 && head[1] <= 5)
    return { what: 'a Python pickle', remedy: CONVERT_REMEDY };
  if (startsWith(head, 'GGUF') || startsWith(head, 'ggjt') || startsWith(head, 'lmgg'))
    return {
      what: 'a GGUF or GGML file',
      remedy: 'These are not read; use the safetensors version of the model',
    };
  if (startsWith(head, '\x89HDF'))
    return { what: 'an HDF5 file', remedy: 'Use the safetensors version of the model' };
  if (startsWith(head, 'version https://git-lfs'))
    return { what: 'a Git LFS pointer, not the file itself', remedy: 'Run `git lfs pull` in the repository' };
  const text = String.fromCharCode(...head)
    .trimStart()
    .toLowerCase();
  if (text.startsWith('<!doctype') || text.startsWith('<html') || text.startsWith('<?xml'))
    return { what: 'a web page', remedy: GET_AGAIN };
  if (text.startsWith('{') || text.startsWith('[')) return { what: 'a JSON text', remedy: GET_AGAIN };
  return undefined;
}
