/** @file Which file of a folder is the LoRA, as diffusers guesses it (loaders/lora_base.py). */

import { FileFormatError, NotFoundError } from '../../errors.ts';
import { joinPath, openRequired, type ModelSource } from '../../loaders/model-source.ts';
import type { AddedFileKind } from '../load/added-file.ts';

/** The name that diffusers saves LoRAs under. */
const USUAL_NAME = 'pytorch_lora_weights.safetensors';
/** Files of a training's folder that are no LoRAs (`_best_guess_weight_name`). */
const OTHER_FILES = /scheduler|optimizer|checkpoint/;

const CONVERSION =
  'Pickles can run any code when they are opened, so calotype never opens them. Look for a .safetensors version, or ' +
  'convert it where you trust it, in Python: from safetensors.torch import save_file; ' +
  "save_file(torch.load('lora.bin', weights_only=True), 'lora.safetensors')";

/** LoRA files. */
export const LORA_FILE: AddedFileKind = {
  what: 'the LoRA',
  conversion: () => CONVERSION,
  async openFrom(folder, { weightName, subfolder = '', signal }, onNotice) {
    const name = weightName ?? (await guessName(folder, subfolder, onNotice, signal));
    return openRequired(folder, joinPath(subfolder, name), signal);
  },
};

/** The LoRA among a folder's files, as diffusers guesses it. */
async function guessName(
  folder: ModelSource,
  subfolder: string,
  onNotice: (notice: string) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const files = await folder.list(subfolder, signal);
  if (files === undefined) return USUAL_NAME;
  const found = files.filter((name) => name.endsWith('.safetensors') && !OTHER_FILES.test(name));
  const usual = found.filter((name) => name.endsWith(USUAL_NAME));
  const [name, ...others] = usual.length > 0 ? usual : found.sort();
  if (others.length > 0)
    onNotice(
      `${folder.name} holds several files; ${name} is taken, not ${others.join(', ')} (weightName names one)`,
    );
  if (name !== undefined) return name;
  const pickles = files.filter((file) => /\.(bin|pt|pth|ckpt)$/.test(file));
  const where = joinPath(folder.name, subfolder);
  if (pickles.length > 0)
    throw new FileFormatError(`holds only Python pickles: ${pickles.join(', ')}`, {
      file: where,
      remedy: CONVERSION,
    });
  throw new NotFoundError('there is no .safetensors file', {
    file: where,
    remedy: 'Name the file that holds the LoRA, or its folder or repository with weightName',
  });
}
