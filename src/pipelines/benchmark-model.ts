/** @file Times the denoising step of the UNet that a model folder configures; its weights are not needed. */

import type { Backend } from '../backends/backend.ts';
import { parseUNet2DConditionConfig } from '../loaders/configs/unet.ts';
import { readJson, type ModelSource } from '../loaders/model-source.ts';
import { benchmarkUNet, type BenchmarkOptions, type StepBenchmark } from './benchmark.ts';

/** Pixels of a latent along each side, in every Stable Diffusion. */
const SCALE_FACTOR = 8;

/** What to time; sizes in pixels, by default those the model was trained at. */
export type ModelBenchmarkOptions = Omit<BenchmarkOptions, 'height' | 'width' | 'microConditions'> & {
  readonly height?: number;
  readonly width?: number;
};

/**
 * Times a step with random weights, from `unet/config.json` alone.
 * @throws NotFoundError or ConfigError naming the file and field
 */
export async function benchmarkModel(
  source: ModelSource,
  backend: Backend,
  options: ModelBenchmarkOptions,
): Promise<StepBenchmark> {
  const { height, width, ...rest } = options;
  const path = 'unet/config.json';
  const config = parseUNet2DConditionConfig(await readJson(source, path, options.signal), {
    file: `${source.name}/${path}`,
  });
  const [trainedHeight, trainedWidth] = config.sampleSize ?? [64, 64];
  return benchmarkUNet(backend, config, {
    ...rest,
    height: height === undefined ? trainedHeight : height / SCALE_FACTOR,
    width: width === undefined ? trainedWidth : width / SCALE_FACTOR,
    microConditions: config.additionEmbed ? 6 : 0,
  });
}
