/** @file Finds a network that is given beside a model (`vae`, `controlnet`): a file, or a model of its own. */

import type { ByteSource } from '../../loaders/byte-source.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import { openSafetensors, type SafetensorsFile } from '../../loaders/safetensors.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { type AddedFileSource, bytesOf } from './added-file.ts';
import { isWeightFile } from './weight-file-name.ts';

/** How a kind of network is read. */
interface StandaloneReader<Network> {
  fromFile(file: SafetensorsFile): Network;
  fromModel(model: ModelSource): Promise<Network>;
}

/** Opens a file, a folder, a Hub id, a URL or any of the sources; a file that cannot be read is closed again. */
export async function openStandalone<Network>(
  platform: Platform,
  source: AddedFileSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
  { fromFile, fromModel }: StandaloneReader<Network>,
): Promise<Network> {
  // `revision` and `variant` are those of the model.
  const { revision: _revision, variant: _variant, ...others } = options;
  const isPath = typeof source === 'string';
  if (isPath && !isWeightFile(source))
    return fromModel(await platform.resolveModel(source, others, onNotice));
  if (!isPath && 'open' in source) return fromModel(source);
  const bytes: ByteSource = isPath
    ? await platform.openFile(source, others, onNotice)
    : bytesOf(source, 'the file');
  try {
    return fromFile(await openSafetensors(bytes, options.signal));
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}
