/** @file Times a network that a model folder configures: the UNet's step or the VAE's decoder. Weights are not needed. */

import type { Backend } from '../backends/backend.ts';
import { parseAutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../loaders/configs/autoencoder-tiny.ts';
import { parseUNet2DConditionConfig } from '../loaders/configs/unet.ts';
import { readJson, type ModelSource } from '../loaders/model-source.ts';
import type { NetworkBenchmark, TimingOptions } from './benchmark.ts';
import { benchmarkUNet } from './benchmark-unet.ts';
import { benchmarkVae } from './benchmark-vae.ts';
import type { VaeConfig } from './vae.ts';

/** Pixels of a latent along each side, in every Stable Diffusion. */
const SCALE_FACTOR = 8;

/** What to time; sizes in pixels, by default those the UNet was trained at. */
export interface ModelBenchmarkOptions extends TimingOptions {
  /** `unet`: a step under guidance (default). `vae`: decoding. */
  readonly network?: 'unet' | 'vae';
  /** Pictures at once (1). */
  readonly batch?: number;
  readonly height?: number;
  readonly width?: number;
}

/**
 * Times a network with random weights, from its `config.json` (and that of the UNet, for the size) alone.
 * @throws NotFoundError or ConfigError naming the file and field
 */
export async function benchmarkModel(
  source: ModelSource,
  backend: Backend,
  { network = 'unet', batch = 1, height, width, ...timing }: ModelBenchmarkOptions,
): Promise<NetworkBenchmark> {
  const path = 'unet/config.json';
  const unet = parseUNet2DConditionConfig(await readJson(source, path, timing.signal), {
    file: `${source.name}/${path}`,
  });
  const [trainedHeight, trainedWidth] = unet.sampleSize ?? [64, 64];
  const size = {
    batch,
    height: height === undefined ? trainedHeight : height / SCALE_FACTOR,
    width: width === undefined ? trainedWidth : width / SCALE_FACTOR,
  };
  if (network === 'vae')
    return benchmarkVae(backend, await readVaeConfig(source, timing.signal), { ...timing, ...size });
  const microConditions = unet.additionEmbed ? 6 : 0;
  return benchmarkUNet(backend, unet, { ...timing, ...size, microConditions });
}

async function readVaeConfig(source: ModelSource, signal?: AbortSignal): Promise<VaeConfig> {
  const path = 'vae/config.json';
  const json = await readJson(source, path, signal);
  const context = { file: `${source.name}/${path}` };
  const isTiny =
    typeof json === 'object' && json !== null && Reflect.get(json, '_class_name') === 'AutoencoderTiny';
  return isTiny
    ? { className: 'AutoencoderTiny', config: parseAutoencoderTinyConfig(json, context) }
    : { className: 'AutoencoderKL', config: parseAutoencoderKLConfig(json, context) };
}
