/** @file The option `controlnet`: finds ControlNets and reads their configurations. */

import type { ModelSource } from '../loaders/model-source.ts';
import { openSafetensors } from '../loaders/safetensors.ts';
import {
  controlNetFromFile,
  controlNetFromModel,
  type StandaloneControlNet,
} from '../loaders/single-file/standalone-controlnet.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { isWeightFile } from './weight-file-name.ts';

/** Finds ControlNets: files, folders, Hub ids, URLs or any ModelSources. */
export async function openControlNets(
  platform: Platform,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneControlNet[]> {
  const { controlnet = [] } = options;
  const sources: readonly (string | ModelSource)[] =
    typeof controlnet === 'string' || !isList(controlnet) ? [controlnet] : controlnet;
  const opened: StandaloneControlNet[] = [];
  try {
    for (const source of sources) opened.push(await openControlNet(platform, source, options, onNotice));
    return opened;
  } catch (error) {
    for (const { weights } of opened) await weights.close();
    throw error;
  }
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

async function openControlNet(
  platform: Platform,
  source: string | ModelSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneControlNet> {
  const { signal } = options;
  // `revision` and `variant` are those of the model.
  const { revision: _revision, variant: _variant, ...others } = options;
  if (typeof source !== 'string' || !isWeightFile(source)) {
    const model = typeof source === 'string' ? await platform.resolveModel(source, others, onNotice) : source;
    return controlNetFromModel(model, undefined, { onNotice, ...(signal && { signal }) });
  }
  const bytes = await platform.openFile(source, others, onNotice);
  try {
    return controlNetFromFile(await openSafetensors(bytes, signal));
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}
