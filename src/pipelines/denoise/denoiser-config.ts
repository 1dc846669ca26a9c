/** @file The networks that pipelines denoise with, and what all of them tell. */

import type { PixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';

/** Configuration of a network that denoises. */
export type DenoiserConfig = UNet2DConditionConfig | PixArtTransformerConfig;

/** What pipelines ask of it, whatever its kind. */
export type LatentModel = Pick<
  UNet2DConditionConfig,
  'sampleSize' | 'inChannels' | 'outChannels' | 'timeCondProjDim' | 'numClassEmbeds'
>;

/** Whether it is PixArt's transformer. */
export function isPixArt(config: DenoiserConfig): config is PixArtTransformerConfig {
  return 'patchSize' in config;
}

/** Its answers; `outChannels` are those of the latents. */
export function latentModelOf(config: DenoiserConfig): LatentModel {
  if (!isPixArt(config)) return config;
  const { sampleSize, inChannels } = config;
  return {
    sampleSize: [sampleSize, sampleSize],
    inChannels,
    outChannels: inChannels,
    timeCondProjDim: null,
    numClassEmbeds: null,
  };
}

/** Pixels, times those of a latent, that sizes must be a multiple of. */
export function latentGranularity(config: DenoiserConfig): number {
  return isPixArt(config) ? config.patchSize : 1;
}
