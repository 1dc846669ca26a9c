/**
 * @file Matrix products on the CPU beyond the op cases: every stored type of weights, rows that fill no panel, images
 * that are transformed in parts, and the machine's peak.
 */

import { afterAll, describe, expect, test } from 'vitest';
import type { Backend, WeightReader } from '../../src/backends/backend.ts';
import { cpu } from '../../src/backends/cpu/cpu.ts';
import { openEngine } from '../../src/backends/cpu/engine.ts';
import { bestBuild, compileKernels } from '../../src/backends/cpu/module.ts';
import { measurePeak } from '../../src/backends/cpu/peak.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { concrete } from '../../src/tensor/shape.ts';
import { valueOf } from '../../src/graph/graph.ts';
import { ACCUMULATION, seededRandom } from '../cases/case.ts';
import '../support/nmse.ts';

const opened = await cpu({ threads: 1 }).open();
if ('reason' in opened) throw new Error(opened.reason);
const backend: Backend = opened;
const reference = createReferenceBackend();
afterAll(() => backend.dispose());

const TYPES = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const;
type Type = (typeof TYPES)[number];

/** Bytes that are numbers of all sizes up to about 1 in the type, subnormal ones and zeros too. */
function randomBytes(type: Type, count: number): Uint8Array {
  const random = seededRandom(type);
  if (type === 'F32') {
    const data = Float32Array.from({ length: count }, () => 2 * random() - 1);
    return new Uint8Array(data.buffer);
  }
  const sign = (): number => (random() < 0.5 ? 1 : 0);
  if (type === 'F8_E4M3') return Uint8Array.from({ length: count }, () => (sign() << 7) | (random() * 0x38));
  if (type === 'F8_E5M2') return Uint8Array.from({ length: count }, () => (sign() << 7) | (random() * 0x3c));
  const one = type === 'F16' ? 0x3c00 : 0x3f80;
  const data = Uint16Array.from({ length: count }, () => (sign() << 15) | (random() * one));
  return new Uint8Array(data.buffer);
}

function readerOf(graph: Graph, type: Type): WeightReader {
  const shapes = new Map(graph.weights.flatMap(({ parts }) => parts.map(({ name, shape }) => [name, shape])));
  const shapeOf = (name: string): readonly number[] => shapes.get(name) ?? [];
  return {
    info: (name) => ({ dtype: type, shape: shapeOf(name), file: 'random' }),
    read: (name) =>
      Promise.resolve(
        randomBytes(
          type,
          shapeOf(name).reduce((a, b) => a * b, 1),
        ),
      ),
  };
}

async function compute(on: Backend, graph: Graph, type: Type): Promise<Float32Array> {
  const weights = on.createWeights(readerOf(graph, type));
  const program = await on.compile(layOutGraph(graph, on.target('f32')), { weights });
  for (const { name, value } of graph.inputs) {
    const random = seededRandom(name);
    const count = concrete(valueOf(graph, value).shape).reduce((a, b) => a * b, 1);
    program.write(
      name,
      Float32Array.from({ length: count }, () => 2 * random() - 1),
    );
  }
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}

async function check(graph: Graph, type: Type = 'F32'): Promise<void> {
  const expected = await compute(reference, graph, type);
  expect(await compute(backend, graph, type)).toMatchNmse(expected, ACCUMULATION.f32);
}

function linearGraph(rows: number, channels: number, out: number): Graph {
  const b = new GraphBuilder('linear');
  const x = b.input('x', [rows, channels], 'float', 'latent');
  b.output('y', b.linear(x, 'fc', { channels: out, bias: false }));
  return b.build();
}

function convGraph(x: readonly number[], out: number, stride = 1): Graph {
  const b = new GraphBuilder('conv');
  const weight = b.weight('weight', [out, x[3], 3, 3]);
  const input = b.input('x', x, 'float', 'latent');
  const attrs = { stride, padding: [1, 1, 1, 1], upsample: false, activation: 'none' } as const;
  b.output('y', b.op('conv2d', 'conv', { x: input, weight }, attrs));
  return b.build();
}

describe('weights stored as', () => {
  test.each(TYPES)('%s, linear', (type) => check(linearGraph(9, 20, 21), type));
  test.each(TYPES)('%s, 3x3 with stride 2', (type) => check(convGraph([1, 7, 6, 7], 11, 2), type));
  test.each(TYPES)('%s, 3x3', (type) => check(convGraph([1, 8, 7, 20], 21), type));
});

describe('rows that fill no panel', () => {
  const counts = Array.from({ length: 19 }, (_, i) => i + 1);
  test.each(counts)('%i rows, read where they are', (rows) => check(linearGraph(rows, 12, 9)));
  test.each(counts)('%i rows, gathered', (rows) => check(linearGraph(rows, 11, 9)));
  test.each(counts)('%i tiles', (tiles) => check(convGraph([1, 4, 4 * tiles - 1, 16], 9)));
});

describe('sizes beyond a task', () => {
  test('300 rows, a sum of 1100, read where they are', () => check(linearGraph(300, 1100, 70)));
  test('300 rows, a sum of 1101, gathered', () => check(linearGraph(300, 1101, 70)));
  test('450 tiles in two parts', () => check(convGraph([1, 100, 72, 64], 9)));
  test('a sum of 600 channels', () => check(convGraph([1, 8, 8, 600], 20)));
});

test('the peak is what a machine can do', async () => {
  const build = bestBuild();
  if (!build) throw new Error('no SIMD');
  const engine = await openEngine(await compileKernels(build), { threads: 1 });
  const peak = await measurePeak(engine);
  engine.dispose();
  expect(peak).toBeGreaterThan(1e8);
  expect(peak).toBeLessThan(1e12);
});
