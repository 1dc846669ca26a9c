/** @file Finds a network that is given beside a model (`vae`, `controlnet`): a file, or a model of its own. */

import type { ModelSource } from '../../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../../loaders/safetensors.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { isWeightFile } from './weight-file-name.ts';

/** How a kind of network is read. */
interface StandaloneReader<Network> {
  fromFile(file: SafetensorsFile): Network;
  fromModel(model: ModelSource): Promise<Network>;
}

/** Opens a file, a folder, a Hub id, a URL or any ModelSource; a file that cannot be read is closed again. */
export async function openStandalone<Network>(
  platform: Platform,
  source: string | ModelSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
  { fromFile, fromModel }: StandaloneReader<Network>,
): Promise<Network> {
  // `revision` and `variant` are those of the model.
  const { revision: _revision, variant: _variant, ...others } = options;
  if (typeof source !== 'string') return fromModel(source);
  if (!isWeightFile(source)) return fromModel(await platform.resolveModel(source, others, onNotice));
  const bytes = await platform.openFile(source, others, onNotice);
  try {
    return fromFile(await openSafetensors(bytes, options.signal));
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}
