/**
 * @file How many pipelines a first picture takes on a card like an H100, by planning alone: its driver compiles one after the
 * other, so each keeps the picture waiting for about a tenth of a second.
 */

import { expect, test } from 'vitest';
import { planLaunches } from '../../src/backends/webgpu/recording.ts';
import { createTarget } from '../../src/backends/webgpu/target.ts';
import { bindGraph, type Graph } from '../../src/graph/graph.ts';
import { tilingOf, tilings } from '../../src/kernels/gemm-matrix-tiling.ts';
import type { DeviceTraits, KernelContext } from '../../src/kernels/kernel.ts';
import { MATRIX_SHAPES } from '../../src/kernels/matrix-shape.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { buildAutoencoderKLDecoder } from '../../src/models/autoencoder-kl.ts';
import { buildCLIPText } from '../../src/models/clip-text.ts';
import { denoiseParts, type DenoisePart } from '../../src/pipelines/denoise/denoise-parts.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { plan } from '../../src/plan/planner.ts';
import { FUSIONS } from '../../src/plan/target.ts';
import { readJson } from '../models/fixtures.ts';
import { ALL_KERNELS } from '../support/kernels.ts';

const traits: DeviceTraits = {
  software: false,
  f16: true,
  subgroupSize: 32,
  largestSubgroup: 32,
  subgroupMatrices: MATRIX_SHAPES.slice(0, 1),
  int8Matrix: true,
  packedDot: true,
  maxWorkgroupsPerDimension: 65_535,
  maxWorkgroupStorageBytes: 49_152,
  maxInvocationsPerWorkgroup: 1024,
  maxBindingBytes: 2 ** 31,
};
const device = { traits, kernels: ALL_KERNELS };
const target = createTarget('f16', {
  traits,
  limits: { alignment: 32, maxBindingBytes: 2 ** 31, maxBufferBytes: 2 ** 32 },
  policy: { kernels: ALL_KERNELS, without: new Set(), tuned: new Map() },
  fusions: new Set(FUSIONS),
});

/** The plans of a guided picture of 20 steps, in the order in which they are needed. */
function plansOf(model: string, size: number, textEncoders: readonly string[]): Map<string, Plan> {
  const read = (part: string): unknown => readJson(`configs/${model}/${part}/config.json`);
  const file = { file: model };
  const unet = parseUNet2DConditionConfig(read('unet'), file);
  const shape = { images: 1, height: size / 8, width: size / 8, tokens: 77 };
  const graphs: [string, Graph][] = textEncoders.map((part) => [
    part,
    bindGraph(buildCLIPText(parseCLIPTextConfig(read(part), file), { projection: part.endsWith('2') }), {
      batch: 1,
      tokens: 77,
    }),
  ]);
  const guided = { guided: true, rescale: false, slots: 1, noise: false };
  const microConditions = textEncoders.length > 1 ? 6 : 0;
  const parts = denoiseParts(unet, { ...shape, ...guided, microConditions }, 20, target);
  const add = (name: string, part: DenoisePart | undefined): void => {
    if (part) graphs.push([name, bindGraph(part.graph, part.bindings)]);
  };
  add('prompt', parts.prompt);
  add('step', parts.step);
  add('latent', parts.latent);
  const decoder = buildAutoencoderKLDecoder(
    parseAutoencoderKLConfig(readJson('configs/sd15/vae/config.json'), file),
  );
  graphs.push(['vae', bindGraph(decoder, { batch: 1, height: shape.height, width: shape.width })]);
  return new Map(graphs.map(([name, graph]) => [name, plan(graph, target)]));
}

/** Microseconds that a plan's products should take as they were chosen together, and each by itself. */
function estimates({ dispatches, values }: Plan): { together: number; apart: number } {
  let [together, apart] = [0, 0];
  for (const { node, kernel, variant } of dispatches) {
    if (kernel !== 'gemm-matrix' || (node.kind !== 'conv2d' && node.kind !== 'linear')) continue;
    const context: KernelContext = {
      traits,
      shapeOf: (id) => values.get(id)!.shape,
      dtypeOf: (id) => values.get(id)!.dtype,
      variant,
    };
    together += tilingOf(node, context, MATRIX_SHAPES[0]).estimate;
    apart += Math.min(...tilings(node, context, MATRIX_SHAPES[0]).map(({ estimate }) => estimate));
  }
  return { together, apart };
}

test.each([
  ['sd15', 512, ['text_encoder'], 44],
  ['sdxl-base-1.0', 1024, ['text_encoder', 'text_encoder_2'], 37],
])('%s at %s: few pipelines, and a step as fast', (model, size, textEncoders, most) => {
  const plans = plansOf(model, size, textEncoders);
  const kernels = new Map<string, string>();
  for (const made of plans.values())
    for (const { shader, launch } of planLaunches(made, device)) kernels.set(shader.code, launch.name);
  const counts: Record<string, number> = {};
  for (const name of kernels.values()) counts[name] = (counts[name] ?? 0) + 1;
  // oxlint-disable-next-line no-console -- what changed it is seen here
  console.log(`${model}, ${size}x${size}: ${kernels.size} pipelines`, counts);
  expect(kernels.size).toBeLessThanOrEqual(most);
  const { together, apart } = estimates(plans.get('latent')!);
  expect(together / apart).toBeLessThan(1.005);
});
