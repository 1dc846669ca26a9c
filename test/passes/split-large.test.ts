/** @file Splitting by rows must be exact, keep every binding under the limit, and refuse what it cannot split. */

import { describe, expect, it } from 'vitest';
import { REFERENCE_TARGET, createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { bindGraph, checkGraph, valueOf, type Graph } from '../../src/graph/graph.ts';
import { definitionOf, inputsOf } from '../../src/graph/ops.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../../src/models/autoencoder-kl.ts';
import { runPasses } from '../../src/passes/index.ts';
import { plan } from '../../src/plan/planner.ts';
import type { Target } from '../../src/plan/target.ts';
import { graphInputs, graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

const CONFIG = {
  _class_name: 'AutoencoderKL',
  block_out_channels: [8, 16, 16, 16],
  down_block_types: Array.from({ length: 4 }, () => 'DownEncoderBlock2D'),
  up_block_types: Array.from({ length: 4 }, () => 'UpDecoderBlock2D'),
  layers_per_block: 1,
  norm_num_groups: 4,
};
const config = parseAutoencoderKLConfig(CONFIG, { file: 'test' });
const limited = (maxBindingBytes: number, maxBufferBytes: number): Target => ({
  ...REFERENCE_TARGET,
  alignment: 64,
  maxBindingBytes,
  maxBufferBytes,
});

/** Largest value, in bytes of f32, that a dispatched node touches (weights aside). */
function largestBinding(graph: Graph): number {
  const weights = new Set(graph.weights.map((weight) => weight.value));
  const touched = graph.nodes
    .filter((node) => definitionOf(node.kind).isView !== true)
    .flatMap((node) => [...inputsOf(node).map(([, id]) => id), node.output])
    .filter((id) => !weights.has(id));
  return Math.max(
    ...touched.map((id) => valueOf(graph, id).shape.reduce<number>((a, b) => a * Number(b), 4)),
  );
}

async function runPlanned(graph: Graph, target: Target): Promise<Map<string, Float32Array>> {
  const backend = createReferenceBackend();
  const program = await backend.compile(plan(graph, target), {
    weights: backend.createWeights(graphWeights(graph)),
  });
  for (const [name, data] of graphInputs(graph)) program.write(name, data);
  program.run();
  return new Map(
    await Promise.all(graph.outputs.map(async ({ name }) => [name, await program.read(name)] as const)),
  );
}

describe.each([
  ['decoder', buildAutoencoderKLDecoder(config), { batch: 2, height: 5, width: 6 }],
  ['encoder', buildAutoencoderKLEncoder(config), { batch: 1, height: 48, width: 56 }],
])('a VAE %s', (_name, symbolic, sizes) => {
  const graph = bindGraph(symbolic, sizes);

  it.each([
    ['bindings are small', 24_000, 1e9],
    ['buffers are small too', 24_000, 60_000],
  ])('gives the same where %s', async (_limits, maxBindingBytes, maxBufferBytes) => {
    const target = limited(maxBindingBytes, maxBufferBytes);
    const { graph: split, reports } = runPasses(graph, target);
    checkGraph(split);
    expect(reports.at(-1)).toMatchObject({ pass: 'split-large', refused: {} });
    expect(reports.at(-1)!.applied).toBeGreaterThan(5);
    expect(largestBinding(split)).toBeLessThanOrEqual(maxBindingBytes);
    const whole = await evaluateGraph(graph, graphInputs(graph), graphWeights(graph));
    const parts = await runPlanned(graph, target);
    for (const [name, data] of whole) expect(parts.get(name)!).toMatchNmse(data, 1e-12);
    expect(Math.max(...plan(graph, target).arena)).toBeLessThanOrEqual(maxBufferBytes);
  });
});

describe('limits', () => {
  const b = new GraphBuilder('test');
  const x = b.input('x', [1, 64, 64, 8], 'float', 'latent');
  b.output(
    'y',
    b.op('selectToken', 'pick', { x: b.toTokens(x), index: b.input('i', [1], 'i32', 'latent') }, {}),
  );
  const graph = b.build();

  it('are named where an op cannot be split', () => {
    const { reports } = runPasses(graph, limited(24_000, 1e9));
    expect(reports.at(-1)!.refused).toEqual({ 'selectToken cannot be split by rows': 1 });
  });

  it('are an error where a value over the buffer limit is needed whole', () => {
    const c = new GraphBuilder('test');
    const input = c.input('x', [1, 64, 64, 8], 'float', 'latent');
    const index = c.input('i', [1], 'i32', 'latent');
    c.output('y', c.op('selectToken', 'pick', { x: c.toTokens(c.activate(input, 'relu')), index }, {}));
    expect(() => runPasses(c.build(), limited(24_000, 100_000))).toThrow(
      /pick: needs 131072 bytes in one buffer/,
    );
  });

  it('change nothing where everything fits', () => {
    const { graph: same, reports } = runPasses(graph, limited(1e9, 1e9));
    expect(same.nodes).toEqual(graph.nodes);
    expect(reports.at(-1)).toMatchObject({ applied: 0, refused: {} });
  });
});
