/** @file Times a UNet's denoising step on a backend, with random weights, from its configuration alone. */

import type { Backend } from '../backends/backend.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import { buildUNet2DCondition } from '../models/unet2d-condition.ts';
import { memoryOf, timeProgram, type NetworkBenchmark, type TimingOptions } from './benchmark.ts';
import { Denoiser, type DenoisePrograms } from './denoiser.ts';
import { Network } from './network.ts';
import { randomWeights } from './random-weights.ts';

/** What to time. */
export interface UNetBenchmarkOptions extends TimingOptions {
  /** Pictures at once. */
  readonly batch: number;
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
  /** Micro-conditioning numbers: 6 for SDXL, else 0. */
  readonly microConditions: number;
}

/** Compiles and times a UNet's step. */
export async function benchmarkUNet(
  backend: Backend,
  config: UNet2DConditionConfig,
  options: UNetBenchmarkOptions,
): Promise<NetworkBenchmark> {
  const { batch, dtype, height, width, microConditions, steps, onProgress, signal } = options;
  const weights = backend.createWeights(randomWeights(buildUNet2DCondition(config)));
  const network = new Network('unet', backend, dtype, weights);
  const denoiser = new Denoiser(network, config);
  const begin = performance.now();
  try {
    const structure = { guided: true, rescale: false, slots: 1, noise: false, microConditions };
    const shape = { ...structure, images: batch, height, width, tokens: 77 };
    const session = await denoiser.prepare(shape, steps, { signal, onProgress });
    const compileSeconds = (performance.now() - begin) / 1000;
    fillInputs(session, config, options);
    const times = await timeProgram(backend, session.latentProgram, () => session.step(0), options);
    return { compileSeconds, memoryBytes: memoryOf(session.programs, weights.bytes), ...times };
  } finally {
    denoiser.dispose();
    network.dispose();
  }
}

/** Inputs that keep numbers small: an identity scheduler and constant conditions. */
function fillInputs(
  session: DenoisePrograms,
  config: UNet2DConditionConfig,
  { batch, height, width, microConditions }: UNetBenchmarkOptions,
): void {
  const rows = 2 * batch;
  const added = config.additionEmbed;
  session.setPrompt({
    encoder_hidden_states: new Float32Array(rows * 77 * config.crossAttentionDim).fill(0.1),
    ...(added && {
      text_embeds: new Float32Array(rows * (added.inputDim - microConditions * added.timeEmbedDim)).fill(0.1),
      time_ids: new Float32Array(rows * microConditions).fill(512),
    }),
  });
  const step = {
    timestep: 500,
    input: [1],
    x0: { state: [0], output: 0, clip: Infinity },
    next: { state: [[0.999]], output: [1e-3], x0: [0], noise: [0] },
    usesNoise: false,
  };
  session.setSchedule([step], { scale: 7.5, rescale: 0 });
  const length = batch * config.outChannels * height * width;
  session.setLatents(Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898)));
}
