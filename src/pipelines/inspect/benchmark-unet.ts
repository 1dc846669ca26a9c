/** @file Times a denoising step on a backend, with random weights, from its configuration alone. */

import type { Backend } from '../../backends/backend.ts';
import type { ControlNetConfig } from '../../loaders/configs/controlnet.ts';
import { buildControlNet, conditioningFactor, residualCount } from '../../models/controlnet.ts';
import { buildPixArtTransformer, positionEmbedding } from '../../models/pixart-transformer.ts';
import { buildUNet2DCondition } from '../../models/unet2d-condition.ts';
import { CONTROL_SCALES, controlImageInput, controlPath } from '../control/control-graph.ts';
import { CONTROL } from '../control/control-part.ts';
import { PIXART } from '../families/pixart-part.ts';
import { memoryOf, timeProgram, type NetworkBenchmark, type TimingOptions } from './benchmark.ts';
import type { DenoiseSession } from '../denoise/denoise-programs.ts';
import { Denoiser } from '../denoise/denoiser.ts';
import { isPixArt, latentModelOf, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { Network } from '../network.ts';
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
  /** Of the prompt. */
  readonly tokens: number;
  /** ControlNets that run with the UNet; default none. */
  readonly controls?: readonly ControlNetConfig[];
}

/** Compiles and times a step of a UNet or a transformer. */
export async function benchmarkUNet(
  backend: Backend,
  config: DenoiserConfig,
  options: UNetBenchmarkOptions,
): Promise<NetworkBenchmark> {
  if (isPixArt(config)) await PIXART.load();
  else await CONTROL.load();
  const {
    batch,
    dtype,
    height,
    width,
    tokens,
    microConditions,
    controls = [],
    steps,
    onProgress,
    signal,
  } = options;
  const weights = backend.createWeights(
    randomWeights(
      isPixArt(config) ? buildPixArtTransformer(config) : buildUNet2DCondition(config),
      ...controls.map((net, i) => buildControlNet(net, controlPath(i))),
    ),
  );
  const network = new Network(isPixArt(config) ? 'transformer' : 'unet', backend, dtype, weights);
  const denoiser = new Denoiser(network, config);
  const begin = performance.now();
  try {
    const structure = { guided: true, rescale: false, slots: 1, noise: false, microConditions };
    const nets = controls.map((net, index) => ({ config: net, index }));
    const shape = { ...structure, controls: nets, images: batch, height, width, tokens };
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
  session: DenoiseSession,
  config: DenoiserConfig,
  { batch, height, width, tokens, microConditions, controls = [] }: UNetBenchmarkOptions,
): void {
  const rows = 2 * batch;
  const added = isPixArt(config) ? null : config.additionEmbed;
  session.setPrompt({
    encoder_hidden_states: new Float32Array(rows * tokens * config.crossAttentionDim).fill(0.1),
    ...(isPixArt(config) && {
      encoder_attention_bias: new Float32Array(rows * tokens),
      pos_embed: positionEmbedding(config, height, width),
    }),
    ...(isPixArt(config) &&
      config.useAdditionalConditions && {
        resolution: new Float32Array(2 * rows).fill(8 * height),
        aspect_ratio: new Float32Array(rows).fill(1),
      }),
    ...(added && {
      text_embeds: new Float32Array(rows * (added.inputDim - microConditions * added.timeEmbedDim)).fill(0.1),
      time_ids: new Float32Array(rows * microConditions).fill(512),
    }),
    ...Object.fromEntries(
      controls.map((net, i) => {
        const pixels = height * width * conditioningFactor(net) ** 2;
        return [controlImageInput(i), new Float32Array(rows * pixels * net.conditioningChannels).fill(0.5)];
      }),
    ),
  });
  const step = {
    timestep: 500,
    input: [1],
    x0: { state: [0], output: 0, clip: Infinity },
    next: { state: [[0.999]], output: [1e-3], x0: [0], noise: [0] },
    usesNoise: false,
  };
  const residuals = controls.reduce((sum, net) => sum + residualCount(net), 0);
  session.setSchedule([step], { scale: 7.5, rescale: 0 }, undefined, {
    ...(residuals > 0 && { [CONTROL_SCALES]: new Float32Array(rows * residuals).fill(1) }),
  });
  const length = batch * latentModelOf(config).outChannels * height * width;
  session.setLatents(Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898)));
}
