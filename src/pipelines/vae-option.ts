/** @file The option `vae`: a model with another VAE than its own. */

import type { ModelSource } from '../loaders/model-source.ts';
import { openSafetensors } from '../loaders/safetensors.ts';
import { vaeFromFile, vaeFromModel, type StandaloneVae } from '../loaders/single-file/standalone-vae.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { isWeightFile } from './weight-file-name.ts';

/** Finds a VAE: a file, a folder, a Hub id, a URL or any ModelSource. */
export async function openVae(
  platform: Platform,
  source: string | ModelSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneVae> {
  const { signal } = options;
  // `revision` and `variant` are those of the model.
  const { revision: _revision, variant: _variant, ...others } = options;
  if (typeof source !== 'string' || !isWeightFile(source)) {
    const model = typeof source === 'string' ? await platform.resolveModel(source, others, onNotice) : source;
    return vaeFromModel(model, signal);
  }
  const bytes = await platform.openFile(source, others, onNotice);
  try {
    return vaeFromFile(await openSafetensors(bytes, signal));
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}
