/** @file Graphs: what checkGraph catches, and the helpers that passes stand on. */

import { describe, expect, it } from 'vitest';
import { GraphError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import {
  bindGraph,
  checkGraph,
  producers,
  removeUnused,
  useCounts,
  valueOf,
  type Graph,
} from '../../src/graph/graph.ts';
import { bytesMoved, flopsOf, type Node } from '../../src/graph/ops.ts';
import { printGraph } from '../../src/graph/print.ts';
import { joinRates, RATE } from '../../src/graph/rate.ts';
import { addDims, concrete, floorDivDim, mulDims, symbol } from '../../src/tensor/shape.ts';
import { caseGraph } from '../cases/case.ts';
import { BENCH_CASES, TEST_CASES } from '../cases/index.ts';

const [height, width] = [symbol('height'), symbol('width')];

/** conv -> silu -> upsample -> tokens -> linear, symbolic; value ids: x 0, conv weight 1. */
function network(): Graph {
  const b = new GraphBuilder('net');
  const x = b.input('x', [2, height, width, 4], 'float', 'latent');
  const y = b.activate(b.conv2d(x, 'conv', { channels: 8, kernel: 3, stride: 2, bias: false }), 'silu');
  const tokens = b.toTokens(b.upsampleNearest(y, height, width));
  b.output('y', b.linear(tokens, 'fc', { channels: 6 }));
  return b.build();
}

/** The graph with node `index` changed. */
function withNode(graph: Graph, index: number, change: (node: Node) => Node): Graph {
  return { ...graph, nodes: graph.nodes.map((node, i) => (i === index ? change(node) : node)) };
}

describe('checkGraph', () => {
  it('accepts what the builder makes, bound or not', () => {
    expect(() => checkGraph(network())).not.toThrow();
    expect(() => checkGraph(bindGraph(network(), { height: 9, width: 7 }))).not.toThrow();
  });

  it.each<[string, (graph: Graph) => Graph, RegExp]>([
    [
      'nodes out of order',
      (graph) => ({ ...graph, nodes: graph.nodes.toReversed() }),
      /is used before it is made/,
    ],
    [
      'a missing node',
      (graph) => ({ ...graph, nodes: graph.nodes.slice(1) }),
      /silu: input x is used before/,
    ],
    [
      'a value made twice',
      (graph) => ({ ...graph, nodes: [...graph.nodes, graph.nodes[0]] }),
      /conv: its value is made twice/,
    ],
    [
      'a node that writes an input',
      (graph) => withNode(graph, 0, (node) => ({ ...node, output: 0 })),
      /made twice/,
    ],
    [
      'a wrong declared shape',
      (graph) => {
        const { output } = graph.nodes[0];
        return {
          ...graph,
          values: new Map(graph.values).set(output, { ...valueOf(graph, output), shape: [1, 2, 3, 8] }),
        };
      },
      /conv: declares float \[1, 2, 3, 8\] but makes float \[2, /,
    ],
    [
      'a wrong declared type',
      (graph) => {
        const { output } = graph.nodes[1];
        return {
          ...graph,
          values: new Map(graph.values).set(output, { ...valueOf(graph, output), dtype: 'i32' }),
        };
      },
      /silu: declares i32 .* but makes float/,
    ],
    [
      'inputs that do not fit',
      (graph) => withNode(graph, 0, (node) => ({ ...node, inputs: { x: 0, weight: 0 } }) as Node),
      /conv: weight is \[2, height, width, 4\], expected/,
    ],
    [
      'an input of another element type',
      (graph) => ({
        ...graph,
        values: new Map(graph.values).set(0, { ...valueOf(graph, 0), dtype: 'i32' }),
      }),
      /conv: x is i32, expected float or f32/,
    ],
    [
      'an output that is never made',
      (graph) => ({ ...graph, outputs: [...graph.outputs, { name: 'z', value: 99 }] }),
      /z: is never made/,
    ],
    [
      'an update of an unknown input',
      (graph) => ({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, updates: 'state' })) }),
      /y: updates "state", which is no input/,
    ],
    [
      'an update of another shape',
      (graph) => ({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, updates: 'x' })) }),
      /y: updates "x", which is float \[2, height, width, 4\]/,
    ],
  ])('catches %s', (_, breakIt, message) => {
    const check = (): void => checkGraph(breakIt(network()));
    expect(check).toThrow(GraphError);
    expect(check).toThrow(message);
  });
});

describe('graph helpers', () => {
  it('count uses and find producers', () => {
    const b = new GraphBuilder('uses');
    const x = b.input('x', [1, 4], 'float', 'latent');
    const twice = b.add(x, x);
    b.output('y', b.add(twice, x));
    b.output('also', twice);
    const graph = b.build();
    expect([...useCounts(graph)]).toEqual([
      [x, 3],
      [twice, 2],
      [2, 1],
    ]);
    expect([...producers(graph).keys()]).toEqual([twice, 2]);
    expect(() => valueOf(graph, 99)).toThrow(GraphError);
  });

  it('drop what no output needs', () => {
    const b = new GraphBuilder('unused');
    const x = b.input('x', [1, 4], 'float', 'latent');
    b.linear(b.input('unused', [1, 4], 'float', 'prompt'), 'unused', { channels: 3 });
    b.output('y', b.linear(x, 'fc', { channels: 2, bias: false }));
    const graph = removeUnused(b.build());
    checkGraph(graph);
    expect(graph.nodes.map((node) => node.name)).toEqual(['fc']);
    expect(graph.inputs.map((input) => input.name)).toEqual(['x']);
    expect(graph.weights.flatMap((weight) => weight.parts.map((part) => part.name))).toEqual(['fc.weight']);
    expect(graph.values.size).toBe(3);
  });

  it('put numbers in place of all symbols, in attributes too', () => {
    const graph = bindGraph(network(), { height: 9, width: 7 });
    for (const value of graph.values.values()) expect(() => concrete(value.shape)).not.toThrow();
    expect(graph.nodes.find((node) => node.kind === 'upsampleNearest')?.attrs).toEqual({
      height: 9,
      width: 7,
    });
    expect(graph.nodes.find((node) => node.kind === 'reshape')?.attrs).toEqual({ shape: [2, 63, 8] });
    expect(concrete(valueOf(graph, graph.outputs[0].value).shape)).toEqual([2, 63, 6]);
    expect(() => bindGraph(network(), { height: 9 })).toThrow(/width/);
  });

  it('count operations and bytes', () => {
    const graph = bindGraph(network(), { height: 8, width: 8 });
    const typeOf = (id: number): ReturnType<typeof valueOf> => valueOf(graph, id);
    const [conv, , , view] = graph.nodes;
    expect(flopsOf(conv, typeOf)).toBe(2 * 2 * 4 * 4 * 8 * 4 * 9);
    const bytesOf = (id: number): number => 4 * concrete(typeOf(id).shape).reduce((a, b) => a * b, 1);
    expect(bytesMoved(conv, bytesOf)).toBe(4 * (2 * 8 * 8 * 4 + 8 * 4 * 9 + 2 * 4 * 4 * 8));
    expect([flopsOf(view, typeOf), bytesMoved(view, bytesOf)]).toEqual([0, 0]);
  });

  it('print one line a node', () => {
    const lines = printGraph(network()).split('\n');
    expect(lines[0]).toBe('graph net: 6 ops, 3 weights');
    expect(lines[1]).toBe('%0 = input x [2, height, width, 4] (latent)');
    expect(lines[2]).toMatch(/^%2 = conv2d\(x=%0, weight=%1\) stride=2 -> \[2, .*, 8\] {2}# conv$/);
    expect(lines.at(-1)).toBe('output y = %9');
  });

  it('join rates as a lattice', () => {
    expect(joinRates([])).toBe(RATE.weight);
    expect(joinRates([RATE.prompt, RATE.weight])).toBe(RATE.prompt);
    expect(joinRates([RATE.prompt, RATE.step])).toBe(RATE.promptStep);
    expect(joinRates([RATE.promptStep, RATE.latent])).toBe(RATE.latent);
  });
});

describe('GraphBuilder', () => {
  const image = (b: GraphBuilder): number => b.input('x', [1, 8, 8, 4], 'float', 'latent');

  it('infers sizes through strides and asymmetric padding', () => {
    const b = new GraphBuilder('sizes');
    const x = b.input('x', [2, height, width, 4], 'float', 'latent');
    const down = b.conv2d(x, 'down', { channels: 4, kernel: 3, stride: 2, padding: [0, 0, 1, 1] });
    expect(b.shapeOf(down)).toEqual([2, floorDivDim(height, 2), floorDivDim(width, 2), 4]);
    expect(b.shapeOf(b.toTokens(x))).toEqual([2, mulDims(height, width), 4]);
    expect(b.shapeOf(b.concat(x, x))).toEqual([2, height, width, 8]);
    expect(b.shapeOf(b.upsampleNearest(x, addDims(height, 1), width))).toEqual([
      2,
      addDims(height, 1),
      width,
      4,
    ]);
  });

  it('declares a weight once, and only with one shape', () => {
    const b = new GraphBuilder('tied');
    expect(b.weight('w', [3, 2])).toBe(b.weight('w', [3, 2]));
    expect(b.build().weights).toHaveLength(1);
    expect(() => b.weight('w', [2, 3])).toThrow(/graph "tied": w: is \[2, 3\] here and \[3, 2\] elsewhere/);
  });

  it('declares linear layers that files store as convolutions', () => {
    const b = new GraphBuilder('stored');
    b.linear(image(b), 'proj', { channels: 6, storedAsConv: true, bias: false });
    const { weights, values } = b.build();
    expect(weights[0].parts).toEqual([{ name: 'proj.weight', shape: [6, 4, 1, 1] }]);
    expect(values.get(weights[0].value)?.shape).toEqual([6, 4]);
  });

  it.each<[string, (b: GraphBuilder) => unknown, RegExp]>([
    [
      'a sum of different shapes',
      (b) => b.add(image(b), b.input('y', [1, 8, 8, 5], 'float', 'latent'), 'sum'),
      /add "sum": b is \[1, 8, 8, 5\]/,
    ],
    [
      'groups that do not divide',
      (b) => b.groupNorm(image(b), 'norm', { groups: 3, eps: 1e-5 }),
      /groupNorm "norm": channels must be/,
    ],
    [
      'a view of another size',
      (b) => b.reshape(image(b), [1, 8, 4]),
      /cannot view \[1, 8, 8, 4\] as \[1, 8, 4\]/,
    ],
    [
      'a slice past the end',
      (b) => b.op('sliceChannels', 's', { x: image(b) }, { start: 2, length: 3 }),
      /the range leaves the axis/,
    ],
    [
      'a convolution of integers',
      (b) => b.conv2d(b.input('x', [1, 8, 8, 4], 'i32', 'latent'), 'conv', { channels: 4, kernel: 3 }),
      /conv2d "conv": x is i32, expected float or f32/,
    ],
    [
      'indices that are no integers',
      (b) => b.op('selectToken', 'pool', { x: b.toTokens(image(b)), index: b.weight('i', [1]) }, {}),
      /selectToken "pool": index is float, expected i32/,
    ],
    [
      'a state that is not f32',
      (b) => {
        const state = b.input('s', [1, 1, 2, 2, 4], 'float', 'latent');
        const coefficients = b.input('c', [1, 8], 'f32', 'latent');
        const row = b.input('r', [1], 'i32', 'latent');
        return b.op('modelInput', 'input', { state, coefficients, row }, { slots: 1, copies: 1 });
      },
      /modelInput "input": state is float, expected f32/,
    ],
    [
      'odd channels under geglu',
      (b) => b.op('geglu', 'g', { x: b.input('x', [1, 5], 'float', 'latent') }, {}),
      /even number/,
    ],
    [
      'more heads than channels',
      (b) => {
        const x = b.input('x', [1, 5, 32], 'float', 'latent');
        return b.attention(x, x, x, 'attn', { heads: 5, headDim: 8 });
      },
      /attention "attn": q has too few channels/,
    ],
    [
      'more tokens than positions',
      (b) => {
        const ids = b.input('ids', [1, 5], 'i32', 'prompt');
        return b.op(
          'embedTokens',
          'embed',
          { ids, table: b.weight('t', [9, 4]), positions: b.weight('p', [4, 4]) },
          {},
        );
      },
      /fewer positions than tokens/,
    ],
    [
      'a residual under geglu',
      (b) => {
        const x = b.input('x', [3, 4], 'float', 'latent');
        const weight = b.weight('w', [8, 4]);
        return b.op('linear', 'ff', { x, weight, residual: x }, { activation: 'geglu' });
      },
      /does not take a residual/,
    ],
    ['an unknown value', (b) => b.add(7, 8), /no value 7/],
    [
      'channels that vary',
      (b) => b.linear(b.input('x', [4, height], 'float', 'latent'), 'fc', { channels: 2 }),
      /no fixed channels/,
    ],
  ])('refuses %s', (_, build, message) => {
    const run = (): unknown => build(new GraphBuilder('bad'));
    expect(run).toThrow(GraphError);
    expect(run).toThrow(message);
  });
});

describe('case tables', () => {
  const all = [...TEST_CASES, ...BENCH_CASES];

  it('have unique names and well-formed graphs', () => {
    expect(new Set(all.map((testCase) => testCase.name)).size).toBe(all.length);
    for (const testCase of all) expect(() => checkGraph(caseGraph(testCase))).not.toThrow();
  });
});
