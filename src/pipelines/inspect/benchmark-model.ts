/** @file Times a network that a model folder configures: the UNet's or transformer's step or the VAE's decoder. Weights are not needed. */

import type { Backend } from '../../backends/backend.ts';
import { parseAutoencoderKLConfig } from '../../loaders/configs/autoencoder-kl.ts';
import { parsePixArtTransformerConfig } from '../../loaders/configs/pixart-transformer.ts';
import { parseUNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { readJson, type ModelSource } from '../../loaders/model-source.ts';
import type { NetworkBenchmark, TimingOptions } from './benchmark.ts';
import { benchmarkUNet } from './benchmark-unet.ts';
import { isPixArt, latentModelOf, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { MAX_SEQUENCE_LENGTH } from '../families/pixart-alpha.ts';
import { benchmarkVae } from './benchmark-vae.ts';
import { readControlNets } from './read-controlnets.ts';
import { TINY_VAE } from '../image/tiny-vae-part.ts';
import type { VaeConfig } from '../image/vae.ts';

/** Pixels of a latent along each side, in every Stable Diffusion. */
const SCALE_FACTOR = 8;

/** What to time; sizes in pixels, by default those the UNet was trained at. */
export interface ModelBenchmarkOptions extends TimingOptions {
  /** `unet`: a step (of a transformer, too) under guidance (default). `vae`: decoding. */
  readonly network?: 'unet' | 'vae';
  /** Pictures at once (1). */
  readonly batch?: number;
  readonly height?: number;
  readonly width?: number;
  /** Folders with the config.json of ControlNets that run with the UNet; default none. */
  readonly controlnets?: readonly ModelSource[];
}

/**
 * Times a network with random weights, from its `config.json` (and that of the UNet, for the size) alone.
 * @throws NotFoundError or ConfigError naming the file and field
 */
export async function benchmarkModel(
  source: ModelSource,
  backend: Backend,
  { network = 'unet', batch = 1, height, width, controlnets = [], ...timing }: ModelBenchmarkOptions,
): Promise<NetworkBenchmark> {
  const config = await readDenoiserConfig(source, timing.signal);
  const [trainedHeight, trainedWidth] = latentModelOf(config).sampleSize ?? [64, 64];
  const size = {
    batch,
    height: height === undefined ? trainedHeight : height / SCALE_FACTOR,
    width: width === undefined ? trainedWidth : width / SCALE_FACTOR,
  };
  if (network === 'vae')
    return benchmarkVae(backend, await readVaeConfig(source, timing.signal), { ...timing, ...size });
  const microConditions = !isPixArt(config) && config.additionEmbed ? 6 : 0;
  const tokens = isPixArt(config) ? MAX_SEQUENCE_LENGTH : 77;
  const controls = await readControlNets(controlnets, config, source.name, timing.signal);
  return benchmarkUNet(backend, config, { ...timing, ...size, microConditions, tokens, controls });
}

/** Of the folder's transformer if it has one, else of its UNet. */
async function readDenoiserConfig(source: ModelSource, signal?: AbortSignal): Promise<DenoiserConfig> {
  const path = 'transformer/config.json';
  if (await source.exists(path, signal))
    return parsePixArtTransformerConfig(await readJson(source, path, signal), {
      file: `${source.name}/${path}`,
    });
  const unet = 'unet/config.json';
  return parseUNet2DConditionConfig(await readJson(source, unet, signal), { file: `${source.name}/${unet}` });
}

async function readVaeConfig(source: ModelSource, signal?: AbortSignal): Promise<VaeConfig> {
  const path = 'vae/config.json';
  const json = await readJson(source, path, signal);
  const context = { file: `${source.name}/${path}` };
  const isTiny =
    typeof json === 'object' && json !== null && Reflect.get(json, '_class_name') === 'AutoencoderTiny';
  return isTiny
    ? {
        className: 'AutoencoderTiny',
        config: (await TINY_VAE.load()).parseAutoencoderTinyConfig(json, context),
      }
    : { className: 'AutoencoderKL', config: parseAutoencoderKLConfig(json, context) };
}
