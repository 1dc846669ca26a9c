/** @file The planner on real UNet shapes: places never clash, nothing is left unfused, memory is near its floor. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bindGraph, checkGraph, type Graph } from '../../src/graph/graph.ts';
import { definitionOf, inputsOf } from '../../src/graph/ops.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { countOps, PASSES_BEFORE_SPLIT, runPasses } from '../../src/passes/index.ts';
import { splitByRate } from '../../src/passes/split-by-rate.ts';
import { denoiseGraph } from '../../src/pipelines/denoise/denoise-graph.ts';
import type { Place, Plan } from '../../src/plan/plan.ts';
import { plan } from '../../src/plan/planner.ts';
import { FUSIONS, type Target } from '../../src/plan/target.ts';

/** Abilities of the WebGPU target without its device. */
const target: Target = {
  name: 'webgpu-like',
  dtype: 'f16',
  alignment: 256,
  maxBindingBytes: 2 ** 31,
  maxBufferBytes: 2 ** 31,
  mayReadAndWriteOneBuffer: false,
  fusions: new Set(FUSIONS),
  select(node) {
    const inPlace = definitionOf(node.kind).inPlace?.find((name) => name in node.inputs);
    return { kernel: node.kind, scratchBytes: [], ...(inPlace === undefined ? {} : { inPlace }) };
  },
};

interface Model {
  readonly whole: Graph;
  readonly plan: Plan;
}

function planOf(file: string, size: number, microConditions: number): Model {
  const path = new URL(`../fixtures/configs/${file}`, import.meta.url);
  const config = parseUNet2DConditionConfig(JSON.parse(readFileSync(path, 'utf8')), { file });
  const graph = denoiseGraph(config, {
    guided: true,
    rescale: false,
    slots: 1,
    noise: false,
    microConditions,
  });
  checkGraph(graph);
  const split = splitByRate(runPasses(graph, target, PASSES_BEFORE_SPLIT).graph);
  const bindings = { images: 1, height: size, width: size, tokens: 77, steps: 32, rows: 64, prompts: 2 };
  return { whole: bindGraph(graph, bindings), plan: plan(bindGraph(split.latent, bindings), target) };
}

const bufferOf = (place: Place): string =>
  place.kind === 'arena'
    ? `arena ${place.buffer}`
    : place.kind === 'weight'
      ? `weight ${place.index}`
      : place.tensor;

describe.each([
  ['SD1.5', 'sd15/unet/config.json', 64, 0, 1.12],
  ['SDXL', 'sdxl-base-1.0/unet/config.json', 128, 6, 1.1],
])('denoising plan of %s', (_name, file, size, microConditions, slack) => {
  const { whole, plan: planned } = planOf(file, size, microConditions);

  it('dispatches at most half as often as the ops that model files write', () => {
    expect(planned.dispatches.length).toBeLessThanOrEqual(countOps(whole) / 2);
  });

  it('has no concatenation, resize or separate activation left', () => {
    const kinds = new Set(planned.dispatches.map(({ node }) => node.kind));
    expect([...kinds].sort()).toEqual(
      ['attention', 'conv2d', 'groupNorm', 'guidedStep', 'layerNorm', 'linear', 'modelInput'].sort(),
    );
  });

  it('needs little more memory than what is alive at once', () => {
    const { arenaBytes, largestLiveSetBytes, unplannedBytes } = planned.memory;
    expect(arenaBytes).toBeLessThanOrEqual(largestLiveSetBytes * slack);
    expect(arenaBytes).toBeLessThan(unplannedBytes / 10);
  });

  it('never writes a buffer that the same dispatch reads, unless in place', () => {
    for (const { node, inPlace } of planned.dispatches) {
      const written = bufferOf(planned.values.get(node.output)!.place);
      for (const [name, id] of inputsOf(node))
        if (name !== inPlace)
          expect(bufferOf(planned.values.get(id)!.place), `${node.name} ${name}`).not.toBe(written);
    }
  });

  it('reads only what was written last at that place', () => {
    const content = new Map<string, { id: number; end: number }>();
    const at = (place: Place): string => `${bufferOf(place)}@${place.kind === 'arena' ? place.offset : 0}`;
    const written = new Set(planned.dispatches.map(({ node }) => node.output));
    for (const { node } of planned.dispatches) {
      for (const [name, id] of inputsOf(node)) {
        const { place, bytes } = planned.values.get(id)!;
        if (place.kind !== 'arena') continue;
        const there = content.get(at(place));
        expect(there, `${node.name} ${name}`).toBeDefined();
        if (written.has(id)) expect(there!.id, `${node.name} ${name}`).toBe(id);
        else expect(there!.end).toBe(place.offset + bytes);
      }
      const { place, bytes } = planned.values.get(node.output)!;
      if (place.kind !== 'arena') continue;
      for (const [key, other] of content) {
        if (!key.startsWith(`${bufferOf(place)}@`)) continue;
        const start = Number(key.split('@')[1]);
        if (start < place.offset + bytes && place.offset < other.end) content.delete(key);
      }
      content.set(at(place), { id: node.output, end: place.offset + bytes });
    }
  });

  it('is plain data, for workers and for files', () => {
    expect(structuredClone(planned)).toEqual(planned);
    const { values, ...rest } = planned;
    const written = { ...rest, values: [...values] };
    expect(JSON.parse(JSON.stringify(written))).toEqual(written);
  });
});
