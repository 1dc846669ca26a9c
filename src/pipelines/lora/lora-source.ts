/** @file Which file of a folder is the LoRA, as diffusers guesses it (loaders/lora_base.py). */

import { FileFormatError, NotFoundError } from '../../errors.ts';
import { joinPath, openRequired, type ModelSource } from '../../loaders/model-source.ts';
import { readUtf8, type ByteSource } from '../../loaders/byte-source.ts';
import { parseConfigJson } from '../../loaders/json.ts';
import type { AdapterConfigFile } from '../../loaders/lora/alphas.ts';
import type { SafetensorsFile } from '../../loaders/safetensors.ts';
import type { AddedFileKind, AddedFileSource, FindFileOptions } from '../load/added-file.ts';
import type { Platform } from '../load/from-pretrained.ts';
import { isWeightFile } from '../load/weight-file-name.ts';

/** PEFT's configurations have some hundred bytes. */
const MAX_CONFIG_BYTES = 1 << 20;

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

/** What PEFT calls its files, and how its keys begin. */
const PEFT_FILE = 'adapter_model.safetensors';
const PEFT_CONFIG = 'adapter_config.json';
const PEFT_PREFIX = 'base_model.model.';

/**
 * The configuration beside a file that PEFT saved by itself: the file does not hold its alphas. Without one the rank
 * takes their place, and a notice says so.
 */
export async function openAdapterConfig(
  platform: Platform,
  file: SafetensorsFile,
  source: AddedFileSource,
  { subfolder = '', revision, signal }: FindFileOptions,
  onNotice: (notice: string) => void,
): Promise<AdapterConfigFile | undefined> {
  if (![...file.names()].some((name) => name.startsWith(PEFT_PREFIX))) return undefined;
  const resolving = { ...(revision !== undefined && { revision }), ...(signal && { signal }) };
  const open = async (): Promise<ByteSource | undefined> => {
    if (typeof source !== 'string')
      return 'open' in source ? source.open(joinPath(subfolder, PEFT_CONFIG), signal) : undefined;
    if (source.endsWith(PEFT_FILE))
      return platform.openFile(source.slice(0, -PEFT_FILE.length) + PEFT_CONFIG, resolving, onNotice);
    if (isWeightFile(source)) return undefined;
    const folder = await platform.resolveModel(source, resolving, onNotice);
    return folder.open(joinPath(subfolder, PEFT_CONFIG), signal);
  };
  const found = await open().catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  });
  if (found === undefined) {
    onNotice(`${file.name}: there is no ${PEFT_CONFIG} beside it; its alphas are taken for its ranks`);
    return undefined;
  }
  try {
    return {
      json: parseConfigJson(await readUtf8(found, MAX_CONFIG_BYTES, signal), found.name),
      file: found.name,
    };
  } finally {
    await found.close?.();
  }
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
