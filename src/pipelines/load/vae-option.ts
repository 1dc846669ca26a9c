/** @file The option `vae`: a model with another VAE than its own. */

import { vaeFromFile, vaeFromModel, type StandaloneVae } from '../../loaders/single-file/standalone-vae.ts';
import type { AddedFileSource } from './added-file.ts';
import type { FromPretrainedOptions, Platform } from './from-pretrained.ts';
import { openStandalone } from './standalone-source.ts';

/** Finds a VAE: a file, a folder, a Hub id, a URL or any of the sources. */
export function openVae(
  platform: Platform,
  source: AddedFileSource,
  options: FromPretrainedOptions,
  onNotice: (notice: string) => void,
): Promise<StandaloneVae> {
  return openStandalone(platform, source, options, onNotice, {
    fromFile: vaeFromFile,
    fromModel: (model) => vaeFromModel(model, options.signal),
  });
}
