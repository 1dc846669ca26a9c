/** @file The option `controlnet`: finds ControlNets and reads their configurations. */

import { asList } from '../../as-list.ts';
import type { ModelSource } from '../../loaders/model-source.ts';
import {
  controlNetFromFile,
  controlNetFromModel,
  type StandaloneControlNet,
} from '../../loaders/single-file/standalone-controlnet.ts';
import type { AddedFileSource } from '../load/added-file.ts';
import type { FromPretrainedOptions, Platform } from '../load/from-pretrained.ts';
import { openStandalone } from '../load/standalone-source.ts';

/** Finds ControlNets: files, folders, Hub ids, URLs or any of the sources. */
export async function openControlNets(
  platform: Platform,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneControlNet[]> {
  const { controlnet = [] } = options;
  const { signal } = options;
  const reader = {
    fromFile: controlNetFromFile,
    fromModel: (model: ModelSource) =>
      controlNetFromModel(model, undefined, { onNotice, ...(signal && { signal }) }),
  };
  const opened: StandaloneControlNet[] = [];
  try {
    for (const source of asList<AddedFileSource>(controlnet))
      opened.push(await openStandalone(platform, source, options, onNotice, reader));
    return opened;
  } catch (error) {
    for (const { weights } of opened) await weights.close();
    throw error;
  }
}
