/** @file Finds the LoRA file behind a path, folder, Hub id, URL, Blob or ByteSource. */

import { FileFormatError, NotFoundError } from '../../errors.ts';
import { blobSource, type ByteSource } from '../../loaders/byte-source.ts';
import { CONVERT_REMEDY } from '../../loaders/file-sniff.ts';
import { joinPath, openRequired, type ModelSource } from '../../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../../loaders/safetensors.ts';
import type { Platform } from '../from-pretrained.ts';
import { isWeightFile } from '../vae-option.ts';

/** Where a LoRA can be. */
export type LoraSource = string | ModelSource | ByteSource | Blob;

/** Which file of a folder or repository it is. */
export interface FindLoraOptions {
  /** Name of the file in a folder or repository; default: the one that is there. */
  readonly weightName?: string;
  /** Folder inside of the folder or repository. Default: none. */
  readonly subfolder?: string;
  /** Branch, tag or commit of a Hub repository; default `main`. */
  readonly revision?: string;
  readonly signal?: AbortSignal;
}

/** The name that diffusers saves LoRAs under. */
const USUAL_NAME = 'pytorch_lora_weights.safetensors';
/** Files of a training's folder that are no LoRAs (diffusers loaders/lora_base.py, `_best_guess_weight_name`). */
const OTHER_FILES = /scheduler|optimizer|checkpoint/;

const CONVERSION =
  'Pickles can run any code when they are opened, so calotype never opens them. Look for a .safetensors version, or ' +
  'convert it where you trust it, in Python: from safetensors.torch import save_file; ' +
  "save_file(torch.load('lora.bin', weights_only=True), 'lora.safetensors')";

/**
 * Opens a LoRA file; the caller closes it.
 * @throws NotFoundError where there is none, FileFormatError for pickles and other formats
 */
export async function openLora(
  platform: Platform,
  source: LoraSource,
  options: FindLoraOptions,
  onNotice: (notice: string) => void,
): Promise<SafetensorsFile> {
  const bytes = await openBytes(platform, source, options, onNotice);
  try {
    return await openSafetensors(bytes, options.signal);
  } catch (error) {
    await bytes.close?.();
    // Whole models have another way out of pickles.
    if (!(error instanceof FileFormatError) || error.remedy !== CONVERT_REMEDY) throw error;
    throw new FileFormatError('is a Python pickle, not a safetensors file', {
      file: bytes.name,
      remedy: CONVERSION,
      cause: error,
    });
  }
}

async function openBytes(
  platform: Platform,
  source: LoraSource,
  options: FindLoraOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  const { revision, signal } = options;
  const resolving = { ...(revision !== undefined && { revision }), ...(signal && { signal }) };
  if (typeof source !== 'string') {
    if ('open' in source) return openFromFolder(source, options, onNotice);
    if ('read' in source) return source;
    return blobSource('name' in source && typeof source.name === 'string' ? source.name : 'the LoRA', source);
  }
  if (isWeightFile(source)) return platform.openFile(source, resolving, onNotice);
  return openFromFolder(await platform.resolveModel(source, resolving, onNotice), options, onNotice);
}

async function openFromFolder(
  folder: ModelSource,
  { weightName, subfolder = '', signal }: FindLoraOptions,
  onNotice: (notice: string) => void,
): Promise<ByteSource> {
  const name = weightName ?? (await guessName(folder, subfolder, onNotice, signal));
  return openRequired(folder, joinPath(subfolder, name), signal);
}

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
