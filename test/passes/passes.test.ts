/** @file Every pass must do its fusion where it should, say why where it should not, and change no result. */

import { describe, expect, it } from 'vitest';
import { reference } from '../../src/backends/reference/reference.ts';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { checkGraph, type Graph } from '../../src/graph/graph.ts';
import type { ValueId } from '../../src/graph/op.ts';
import { countOps, PASSES, runPasses } from '../../src/passes/index.ts';
import type { Pass } from '../../src/passes/pass.ts';
import { FUSIONS, type Target } from '../../src/plan/target.ts';
import { graphInputs, graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

const opened = await reference().open();
if (!('target' in opened)) throw new Error(opened.reason);
const target: Target = opened.target('f32');

function passNamed(name: string): Pass {
  const pass = PASSES.find((candidate) => candidate.name === name);
  if (!pass) throw new RangeError(`no pass ${name}`);
  return pass;
}

async function results(graph: Graph): Promise<Map<string, ArrayLike<number>>> {
  return evaluateGraph(graph, graphInputs(graph), graphWeights(graph));
}

/** Runs passes, checks the graph, and compares every output before and after. */
async function sameAfter(
  graph: Graph,
  passes: readonly Pass[],
): Promise<{ graph: Graph; applied: number; refused: object }> {
  let current = graph;
  let applied = 0;
  let refused = {};
  for (const pass of passes) {
    const result = pass.run(current, target);
    checkGraph(result.graph);
    [current, applied, refused] = [result.graph, result.applied, result.refused];
  }
  const [before, after] = [await results(graph), await results(current)];
  expect([...after.keys()]).toEqual([...before.keys()]);
  for (const [name, data] of before) expect(after.get(name)!).toMatchNmse(data, 1e-12);
  return { graph: current, applied, refused };
}

const kinds = (graph: Graph): string[] => graph.nodes.map((node) => node.kind);

function build(make: (b: GraphBuilder, image: ValueId) => ValueId): Graph {
  const b = new GraphBuilder('test');
  b.output('y', make(b, b.input('x', [2, 5, 6, 8], 'float', 'latent')));
  return b.build();
}

describe('bias', () => {
  it('goes into convolutions and linear layers', async () => {
    const graph = build((b, x) =>
      b.linear(b.conv2d(x, 'conv', { channels: 6, kernel: 3 }), 'fc', { channels: 4 }),
    );
    const { graph: fused, applied } = await sameAfter(graph, [passNamed('bias')]);
    expect(applied).toBe(2);
    expect(kinds(fused)).toEqual(['conv2d', 'linear']);
  });

  it('stays where the sum without it is needed too', async () => {
    const graph = build((b, x) => {
      const weight = b.weight('w', [8, 8]);
      const y = b.op('linear', 'fc', { x, weight }, { activation: 'none' });
      return b.add(b.addBias(y, 'fc'), y);
    });
    const { applied, refused } = await sameAfter(graph, [passNamed('bias')]);
    expect(applied).toBe(0);
    expect(refused).toEqual({ 'the sum without bias is used elsewhere': 1 });
  });
});

describe('time embedding', () => {
  it('goes into the convolution, with a table and its index', async () => {
    const graph = build((b, x) => {
      const table = b.input('table', [3, 6], 'float', 'step');
      const index = b.input('index', [2], 'i32', 'latent');
      const rows = b.op('gatherRows', 'row', { table, index }, {});
      return b.addRows(b.conv2d(x, 'conv', { channels: 6, kernel: 3 }), rows);
    });
    const { graph: fused } = await sameAfter(graph, [passNamed('bias'), passNamed('time-embedding')]);
    expect(kinds(fused)).toEqual(['conv2d']);
    expect(Object.keys(fused.nodes[0].inputs)).toEqual(['x', 'weight', 'bias', 'rows', 'rowIndex']);
  });
});

describe('residual', () => {
  it('goes into the later of two layers, through a reshape', async () => {
    const graph = build((b, x) => {
      const tokens = b.toTokens(x);
      const back = b.reshape(b.linear(tokens, 'out', { channels: 8 }), [2, 5, 6, 8]);
      return b.add(back, x);
    });
    const { graph: fused } = await sameAfter(graph, [passNamed('bias'), passNamed('residual')]);
    expect(kinds(fused).filter((kind) => kind !== 'reshape')).toEqual(['linear']);
  });

  it('is added once where both terms are layers', async () => {
    const graph = build((b, x) => {
      const short = b.conv2d(x, 'short', { channels: 4, kernel: 1 });
      return b.add(short, b.conv2d(x, 'long', { channels: 4, kernel: 3 }));
    });
    const { graph: fused, applied } = await sameAfter(graph, [passNamed('bias'), passNamed('residual')]);
    expect(applied).toBe(1);
    expect(fused.nodes.map((node) => node.name)).toEqual(['short', 'long']);
  });
});

describe('activation', () => {
  it('follows a residual in the same epilogue', async () => {
    const graph = build((b, x) => b.activate(b.add(b.conv2d(x, 'c', { channels: 8, kernel: 3 }), x), 'relu'));
    const passes = ['bias', 'residual', 'activation'].map(passNamed);
    expect(kinds((await sameAfter(graph, passes)).graph)).toEqual(['conv2d']);
  });

  it('goes into group norms', async () => {
    const graph = build((b, x) => b.activate(b.groupNorm(x, 'norm', { groups: 4, eps: 1e-5 }), 'silu'));
    expect(kinds((await sameAfter(graph, [passNamed('activation')])).graph)).toEqual(['groupNorm']);
  });

  it('bars a residual that comes after it', async () => {
    const graph = build((b, x) => b.add(b.activate(b.conv2d(x, 'c', { channels: 8, kernel: 3 }), 'silu'), x));
    const { graph: fused } = await sameAfter(graph, PASSES);
    expect(kinds(fused)).toEqual(['conv2d', 'add']);
  });
});

describe('geglu', () => {
  it('halves the projection in its epilogue', async () => {
    const graph = build((b, x) => b.op('geglu', 'ff', { x: b.linear(x, 'proj', { channels: 12 }) }, {}));
    expect(kinds((await sameAfter(graph, [passNamed('bias'), passNamed('geglu')])).graph)).toEqual([
      'linear',
    ]);
  });
});

describe('qkv', () => {
  const attention = (b: GraphBuilder, x: ValueId, context: ValueId, bias: boolean): ValueId => {
    const layer = { channels: 16, bias };
    const q = b.linear(x, 'to_q', layer);
    const k = b.linear(context, 'to_k', layer);
    const v = b.linear(context, 'to_v', layer);
    return b.attention(q, k, v, 'attention', { heads: 2, headDim: 8 });
  };

  it.each([false, true])('joins all three of self-attention (bias: %s)', async (bias) => {
    const graph = build((b, x) => attention(b, b.toTokens(x), b.toTokens(x), bias));
    const passes = ['merge-duplicates', 'bias', 'qkv'].map(passNamed);
    const { graph: fused } = await sameAfter(graph, passes);
    expect(kinds(fused)).toEqual(['reshape', 'linear', 'attention']);
    expect(fused.weights[0].parts.map((part) => part.name)).toEqual([
      'to_q.weight',
      'to_k.weight',
      'to_v.weight',
    ]);
  });

  it('joins k and v of cross-attention', async () => {
    const graph = build((b, x) =>
      attention(b, b.toTokens(x), b.input('text', [2, 7, 10], 'float', 'prompt'), false),
    );
    const { graph: fused } = await sameAfter(graph, [passNamed('qkv')]);
    expect(kinds(fused)).toEqual(['reshape', 'linear', 'linear', 'attention']);
  });
});

describe('concat', () => {
  it('is read as two sources by all its users', async () => {
    const graph = build((b, x) => {
      const joined = b.concat(x, b.input('skip', [2, 5, 6, 4], 'float', 'latent'));
      const normed = b.groupNorm(joined, 'norm', { groups: 3, eps: 1e-5 });
      const long = b.conv2d(normed, 'long', { channels: 4, kernel: 3 });
      return b.add(long, b.conv2d(joined, 'short', { channels: 4, kernel: 1 }));
    });
    const { graph: fused } = await sameAfter(graph, [passNamed('concat')]);
    expect(kinds(fused)).not.toContain('concat');
  });

  it('stays where another op reads it', async () => {
    const graph = build((b, x) => b.activate(b.concat(x, x), 'silu'));
    const { refused } = await sameAfter(graph, [passNamed('concat')]);
    expect(refused).toEqual({ 'another op reads the concatenation': 1 });
  });
});

describe('upsample', () => {
  const resized = (height: number, width: number): Graph =>
    build((b, x) => b.conv2d(b.upsampleNearest(x, height, width), 'conv', { channels: 4, kernel: 3 }));

  it('is read through where it doubles', async () => {
    expect(kinds((await sameAfter(resized(10, 12), [passNamed('upsample')])).graph)).not.toContain(
      'upsampleNearest',
    );
  });

  it('stays where it does not', async () => {
    const { refused } = await sameAfter(resized(9, 12), [passNamed('upsample')]);
    expect(refused).toEqual({ 'the size does not double': 1 });
  });

  it('stays beside a second source, which would be doubled too', async () => {
    const graph = build((b, x) => {
      const skip = b.input('skip', [2, 10, 12, 4], 'float', 'latent');
      return b.conv2d(b.concat(b.upsampleNearest(x, 10, 12), skip), 'conv', { channels: 4, kernel: 3 });
    });
    const { refused } = await sameAfter(graph, [passNamed('concat'), passNamed('upsample')]);
    expect(refused).toEqual({ 'the convolution reads a second source': 1 });
  });
});

describe('merge-duplicates', () => {
  it('computes equal nodes once', async () => {
    const graph = build((b, x) => b.add(b.activate(x, 'silu'), b.activate(x, 'silu')));
    const { graph: merged, applied } = await sameAfter(graph, [passNamed('merge-duplicates')]);
    expect(applied).toBe(1);
    expect(kinds(merged)).toEqual(['activate', 'add']);
  });
});

describe('targets', () => {
  it('keep what their kernels cannot fuse', () => {
    const graph = build((b, x) => b.conv2d(x, 'conv', { channels: 6, kernel: 3 }));
    const without = { ...target, fusions: new Set(FUSIONS.filter((fusion) => fusion !== 'bias')) };
    const { graph: kept, reports } = runPasses(graph, without);
    expect(countOps(kept)).toBe(2);
    expect(reports.find((report) => report.pass === 'bias')?.refused).toEqual({
      'not a fusion of reference': 1,
    });
  });
});
