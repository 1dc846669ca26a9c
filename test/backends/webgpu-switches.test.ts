/**
 * @file What `webgpu({ without, recorded })` turns off: a step computes the same without any fusion, without the kernels
 * of GPUs, and unrecorded; and what can be timed on the device is.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { createTarget } from '../../src/backends/webgpu/target.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { OptionError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { bindGraph } from '../../src/graph/graph.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { denoiseParts } from '../../src/pipelines/denoise/denoise-parts.ts';
import { Denoiser } from '../../src/pipelines/denoise/denoiser.ts';
import { Network } from '../../src/pipelines/network.ts';
import { plan } from '../../src/plan/planner.ts';
import { FUSIONS } from '../../src/plan/target.ts';
import { buildUNet2DCondition } from '../../src/models/unet2d-condition.ts';
import { fixturePath } from '../support/fixtures.ts';
import { nmse } from '../support/nmse.ts';
import { ALL_KERNELS } from '../support/kernels.ts';
import { graphWeights } from '../support/random-graph-data.ts';

const file = 'pipelines/tiny-sd/unet/config.json';
const config = parseUNet2DConditionConfig(JSON.parse(readFileSync(fixturePath(file), 'utf8')), { file });

const SHAPE = { guided: true, rescale: false, slots: 1, noise: false, microConditions: 0 };

/** A GPU without subgroup matrices. */
const target = (...without: string[]) =>
  createTarget('f32', {
    traits: {
      software: false,
      f16: false,
      subgroupSize: 32,
      largestSubgroup: 32,
      subgroupMatrices: [],
      int8Matrix: false,
      packedDot: true,
      maxWorkgroupsPerDimension: 65_535,
      maxWorkgroupStorageBytes: 32_768,
      maxInvocationsPerWorkgroup: 1024,
      maxBindingBytes: 2 ** 31,
    },
    limits: { alignment: 256, maxBindingBytes: 2 ** 31, maxBufferBytes: 2 ** 31 },
    policy: { kernels: ALL_KERNELS, without: new Set(without), tuned: new Map() },
    fusions: new Set(FUSIONS),
  });

const opened = await webgpu({ adapter: 'any' }).open();
const where = 'reason' in opened ? `skipped: ${opened.reason}. ${opened.remedy}` : opened.description;
if (!('reason' in opened)) opened.dispose();

/** Latents after two steps of the tiny UNet, its dispatches, and whether the device could time them. */
async function twoSteps(options: Parameters<typeof webgpu>[0]) {
  const backend = await webgpu({ adapter: 'any', ...options }).open();
  if ('reason' in backend) throw new Error(backend.reason);
  const network = networkOn(backend);
  const denoiser = new Denoiser(network, config);
  try {
    const session = await denoiser.prepare({ ...SHAPE, images: 1, height: 8, width: 8, tokens: 7 }, 2);
    const count = 2 * 7 * config.crossAttentionDim;
    session.setPrompt({ encoder_hidden_states: Float32Array.from({ length: count }, (_, i) => Math.cos(i)) });
    const step = (timestep: number) => ({
      timestep,
      input: [1],
      x0: { state: [0], output: 0, clip: Infinity },
      next: { state: [[0.9]], output: [0.5], x0: [0], noise: [0] },
      usesNoise: false,
    });
    session.setSchedule([step(500), step(200)], { scale: 3, rescale: 0 });
    session.setLatents(Float32Array.from({ length: 4 * 64 }, (_, i) => Math.sin(i)));
    const times = session.latentProgram.timeRuns?.(2);
    for (const i of [0, 1]) session.step(i);
    return {
      latents: await session.readLatents(),
      dispatches: session.latentProgram.plan.dispatches,
      times: await times?.(),
    };
  } finally {
    denoiser.dispose();
    network.dispose();
    backend.dispose();
  }
}

function networkOn(backend: Backend): Network {
  const weights = backend.createWeights(graphWeights(buildUNet2DCondition(config)));
  return new Network('unet', backend, 'f32', weights);
}

describe.skipIf('reason' in opened)(`webgpu's switches on ${where}`, () => {
  it('compute the same, in more dispatches', async () => {
    const usual = await twoSteps({});
    const naive = await twoSteps({ without: { fusions: FUSIONS }, recorded: false });
    expect(nmse(naive.latents, usual.latents)).toBeLessThan(1e-9);
    expect(naive.dispatches.length).toBeGreaterThan(1.5 * usual.dispatches.length);
    for (const { begin, end } of usual.times ?? []) expect(end).toBeGreaterThanOrEqual(begin);
  });
});

it('leaves kernels out by id, and says so when nothing is left that computes an op', () => {
  const { latent } = denoiseParts(
    config,
    { ...SHAPE, images: 1, height: 8, width: 8, tokens: 7 },
    16,
    target(),
  );
  const bound = bindGraph(latent.graph, latent.bindings);
  const kernels = (...without: string[]) =>
    new Set(plan(bound, target(...without)).dispatches.map(({ kernel }) => kernel));
  expect(kernels()).toContain('gemm-tiled');
  expect(kernels()).toContain('attention-tiled');
  const fewer = kernels('gemm-tiled', 'attention-tiled');
  for (const id of ['gemm-register', 'attention-register']) expect(fewer).toContain(id);
  for (const id of ['gemm-tiled', 'attention-tiled']) expect(fewer).not.toContain(id);
  const attention = ALL_KERNELS.filter(({ ops }) => ops.includes('attention')).map(({ id }) => id);
  expect(() => kernels(...attention)).toThrow(/Allow a kernel for it/);
});

it('keeps a head of 512 out of the registers of a GPU', () => {
  const b = new GraphBuilder('test');
  const x = b.input('x', [1, 8, 512], 'float', 'step');
  b.output('y', b.attention(x, x, x, 'attention', { heads: 1, headDim: 512 }));
  const bound = bindGraph(b.build(), {});
  const [dispatch] = plan(bound, target('attention-tiled')).dispatches;
  expect(dispatch?.kernel).toBe('attention-plain');
});

it('refuses names of fusions and kernels that there are not', () => {
  expect(() => webgpu({ without: { kernels: ['gem-tiled'] } })).toThrow(OptionError);
  expect(() => webgpu({ without: { fusions: ['gemm-tiled'] } })).toThrow(OptionError);
});
