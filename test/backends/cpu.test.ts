/**
 * @file The CPU backend: every op case against the reference in float64, with arenas and outputs full of NaN before
 * each run; the same bits for any number of threads; memory, order, errors.
 */

import { afterAll, describe, expect, test } from 'vitest';
import type { Backend, CompileProgress } from '../../src/backends/backend.ts';
import { compileProgram } from '../../src/backends/cpu/compile.ts';
import { cpu, type CpuOptions } from '../../src/backends/cpu/cpu.ts';
import { openEngine, type Engine, type EngineOptions } from '../../src/backends/cpu/engine.ts';
import { writeLaunches } from '../../src/backends/cpu/launch-list.ts';
import { LinearMemory, type Range } from '../../src/backends/cpu/memory.ts';
import { bestBuild, compileKernels } from '../../src/backends/cpu/module.ts';
import { CpuProgram } from '../../src/backends/cpu/program.ts';
import { CPU_TARGET } from '../../src/backends/cpu/target.ts';
import { CpuWeights } from '../../src/backends/cpu/weights.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import {
  DeviceLostError,
  FileFormatError,
  GraphError,
  KernelError,
  OptionError,
  OutOfMemoryError,
} from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { encodeF16 } from '../../src/tensor/float16.ts';
import { caseGraph, caseInputs, caseWeights, seededRandom, type OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

async function open(options: CpuOptions): Promise<Backend> {
  const opened = await cpu(options).open();
  if ('reason' in opened) throw new Error(`${opened.backend}: ${opened.reason}`);
  return opened;
}

const reference = createReferenceBackend();
const backend = await open({ threads: 2 });
const plain = await open({ threads: 1, simd: 'simd128' });
const single = await open({ threads: 0 });
const many = await open({ threads: 3 });
afterAll(() => {
  for (const one of [backend, plain, single, many]) one.dispose();
});

/** Compiles a case, runs it once with everything poisoned, and reads its output. */
async function compute(on: Backend, testCase: OpCase): Promise<Float32Array> {
  const weights = on.createWeights(caseWeights(testCase));
  const program = await on.compile(layOutGraph(caseGraph(testCase), on.target('f32')), { weights });
  for (const [name, data] of caseInputs(testCase)) program.write(name, data);
  if (program instanceof CpuProgram) program.poison();
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}

describe('cpu ops', () => {
  test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
    '%s',
    async (_name, testCase) => {
      const expected = await compute(reference, testCase);
      const actual = await compute(backend, testCase);
      expect(actual).toMatchNmse(expected, testCase.nmse.f32);
      // The same bits whatever computes: three threads, or the calling one.
      expect(await compute(many, testCase)).toEqual(actual);
      expect(await compute(single, testCase)).toEqual(actual);
      expect(await compute(plain, testCase)).toMatchNmse(expected, testCase.nmse.f32);
    },
  );
});

/** y = x * weight^T + bias */
function linearGraph(name: string, channels = 16): Graph {
  const b = new GraphBuilder(name);
  const x = b.input('x', [4, 8], 'float', 'latent');
  b.output('y', b.linear(x, 'fc', { channels }));
  return b.build();
}

/** A plan of a graph for the CPU, without passes. */
const planned = (graph: Graph) => layOutGraph(graph, CPU_TARGET);

/** What a small engine computes; disposed of after the test. */
async function withEngine(options: EngineOptions, use: (engine: Engine) => Promise<void>): Promise<void> {
  const build = bestBuild();
  if (!build) throw new Error('no WebAssembly SIMD');
  const engine = await openEngine(await compileKernels(build), options);
  try {
    await use(engine);
  } finally {
    engine.dispose();
  }
}

describe.each([
  ['workers', { threads: 2 }],
  ['the calling thread', { threads: 0 }],
])('cpu programs on %s', (_name, options) => {
  test('write, run and read in the order of the calls', () =>
    withEngine(options, async (engine) => {
      const b = new GraphBuilder('order');
      b.output('y', b.affine(b.input('x', [300], 'float', 'latent'), 2, 1, 'twice'));
      const graph = b.build();
      const weights = new CpuWeights(engine, graphWeights(graph));
      const program = await compileProgram(engine, planned(graph), { weights });
      const x = new Float32Array(300);
      const results = [1, 2, 3].map((value) => {
        program.write('x', x.fill(value));
        program.run();
        return program.read('y');
      });
      x.fill(Number.NaN);
      const firsts = (await Promise.all(results)).map((y) => [y[0], y[299]]);
      expect(firsts).toEqual([
        [3, 3],
        [5, 5],
        [7, 7],
      ]);
    }));

  test('share tensors, and free all memory when disposed of', () =>
    withEngine(options, async (engine) => {
      const before = engine.memory.meter.deviceBytes;
      const first = linearGraph('first');
      const b = new GraphBuilder('second');
      b.output('z', b.activate(b.input('y', [4, 16], 'float', 'latent'), 'relu'));
      const weights = new CpuWeights(engine, graphWeights(first));
      const producer = await compileProgram(engine, planned(first), { weights });
      const tensors = new Map([['y', producer.tensor('y')]]);
      const consumer = await compileProgram(engine, planned(b.build()), { weights, tensors });
      producer.write('x', new Float32Array(32).fill(0.5));
      producer.run();
      consumer.run();
      const y = await producer.read('y');
      expect(await consumer.read('z')).toEqual(y.map((value) => Math.max(0, value)));
      expect(engine.memory.meter.deviceBytes).toBeGreaterThan(before + 16 * 8 * 4);
      // A run that is queued still finds its memory.
      producer.run();
      producer.dispose();
      consumer.dispose();
      expect(() => producer.run()).toThrow(OptionError);
      weights.dispose();
      await engine.enqueue(() => undefined);
      expect(engine.memory.meter.deviceBytes).toBe(before);
    }));

  test('time every dispatch', () =>
    withEngine(options, async (engine) => {
      const graph = linearGraph('test');
      const weights = new CpuWeights(engine, graphWeights(graph));
      const program = await compileProgram(engine, planned(graph), { weights });
      program.write('x', new Float32Array(32));
      const times = await program.profile();
      expect(new Set(times.map(({ dispatch }) => dispatch))).toEqual(
        new Set(program.plan.dispatches.map((_, i) => i)),
      );
      expect(times.every(({ milliseconds }) => milliseconds >= 0 && milliseconds < 10_000)).toBe(true);
    }));

  test('fail with the name of the kernel that trapped', () =>
    withEngine(options, async (engine) => {
      const outside = 0x7fff_0000;
      const launch = { name: 'copyRows', tasks: 3, args: [outside, outside, 1, 1, 64, 64, 64] };
      const list = writeLaunches(engine, [{ launch, addressOf: () => 0 }], 'a trap');
      engine.run(list.address);
      const after = engine.enqueue(() => 'never');
      await expect(after).rejects.toThrow(KernelError);
      await expect(after).rejects.toThrow(/copyRows.*out of bounds/);
      expect(() => engine.check()).toThrow(KernelError);
    }));

  test('refuse what is queued after the backend was disposed of', () =>
    withEngine(options, async (engine) => {
      engine.dispose();
      await expect(engine.enqueue(() => undefined)).rejects.toThrow(DeviceLostError);
    }));
});

describe('cpu weights', () => {
  test('of another shape are refused before anything is read', async () => {
    const graph = linearGraph('test');
    const reader = graphWeights(graph);
    const weights = backend.createWeights({
      info: (name) => ({ ...reader.info(name), shape: [3, 3], file: 'model.safetensors' }),
      read: () => Promise.reject(new Error('must not be read')),
    });
    const compiling = backend.compile(planned(graph), { weights });
    await expect(compiling).rejects.toThrow(FileFormatError);
    await expect(compiling).rejects.toThrow(/model\.safetensors.*fc/);
  });

  test('that do not fit are refused before anything is read, with the limit', async () => {
    const small = await open({ threads: 0, memoryLimit: 4 * 2 ** 20 });
    const graph = linearGraph('large', 2 ** 18);
    const reader = graphWeights(graph);
    const weights = small.createWeights({
      info: (name) => reader.info(name),
      read: () => Promise.reject(new Error('must not be read')),
    });
    const compiling = small.compile(planned(graph), { weights });
    await expect(compiling).rejects.toThrow(OutOfMemoryError);
    await expect(compiling).rejects.toThrow(/plan "large" needs \d+ MiB, but of the 4 MiB .* 3 MiB are free/);
    small.dispose();
  });

  test('are read once, and again after a load was stopped half way', async () => {
    const graph = linearGraph('test');
    const stop = new AbortController();
    const reads: string[] = [];
    const reader = graphWeights(graph);
    const weights = backend.createWeights({
      info: (name) => reader.info(name),
      read(name) {
        reads.push(name);
        if (reads.length === 1) stop.abort(new Error('enough'));
        return reader.read(name);
      },
    });
    const compiling = backend.compile(planned(graph), { weights, signal: stop.signal });
    await expect(compiling).rejects.toThrow('enough');
    expect(reads).toHaveLength(1);
    const seen: string[] = [];
    const onProgress = ({ phase, done, total }: CompileProgress): void => {
      if (done === total) seen.push(phase);
    };
    (await backend.compile(planned(graph), { weights, onProgress })).dispose();
    (await backend.compile(planned(graph), { weights })).dispose();
    expect(seen).toEqual(['weights', 'kernels']);
    expect(reads.length).toBeLessThanOrEqual(3);
    weights.dispose();
  });

  test.each([
    ['F16', 'f32', 2],
    ['BF16', 'f32', 2],
    ['F8_E4M3', 'f32', 1],
    ['F32', 'f16', 2],
  ] as const)('stored as %s take their own room for a target of %s', async (dtype, storage, bytes) => {
    const b = new GraphBuilder('embedding');
    const ids = b.input('ids', [1, 5], 'i32', 'latent');
    const table = b.weight('table', [100, 67]);
    const positions = b.weight('positions', [7, 67]);
    b.output('y', b.op('embedTokens', 'embed', { ids, table, positions }, {}));
    const graph = b.build();
    // Small powers of two are exact in every type.
    const numbers = (count: number): Float32Array =>
      Float32Array.from({ length: count }, (_, i) => 2 ** (i % 5));
    const encode = {
      F32: (x: Float32Array) => x,
      F16: (x: Float32Array) => encodeF16(x),
      BF16: (x: Float32Array) =>
        new Uint16Array(new Uint32Array(x.buffer)).map((_, i) => new Uint32Array(x.buffer)[i] >>> 16),
      F8_E4M3: (x: Float32Array) => Uint8Array.from(x, (value) => (Math.log2(value) + 7) << 3),
    }[dtype];
    const shapes = { table: [100, 67], positions: [7, 67] };
    const shapeOf = (name: string): number[] => (name === 'table' ? shapes.table : shapes.positions);
    const weights = backend.createWeights({
      info: (name) => ({ dtype, shape: shapeOf(name), file: 'test' }),
      read(name) {
        const data = encode(numbers(shapeOf(name)[0] * 67));
        return Promise.resolve(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      },
    });
    const program = await backend.compile(layOutGraph(graph, backend.target(storage)), { weights });
    expect(weights.bytes).toBeGreaterThanOrEqual(107 * 67 * bytes);
    expect(weights.bytes).toBeLessThan(107 * 67 * bytes + 2 * 128);
    program.write('ids', Int32Array.of(99, 0, 1, -3, 1000));
    program.run();
    const [tokens, places] = [numbers(6700), numbers(469)];
    const expected = [99, 0, 1, 0, 99].flatMap((id, position) =>
      Array.from({ length: 67 }, (_, c) => tokens[id * 67 + c] + places[position * 67 + c]),
    );
    expect(await program.read('y')).toEqual(Float32Array.from(expected));
    program.dispose();
    weights.dispose();
  });
});

describe('cpu memory', () => {
  test('never hands out a range twice, and joins what comes back', () => {
    const memory = new LinearMemory(1024, 2 ** 20);
    const random = seededRandom('memory');
    const held: Range[] = [];
    for (let i = 0; i < 2000; i++)
      if (random() < 0.5 && held.length > 0)
        memory.release(held.splice(Math.floor(random() * held.length), 1)[0]);
      else {
        const range = memory.allocate(Math.ceil(random() * 5000), 'a test');
        expect(range.address % 64).toBe(0);
        const ends = range.address + range.bytes;
        for (const { address, bytes } of held)
          expect(ends <= address || address + bytes <= range.address).toBe(true);
        held.push(range);
        if (held.length > 100) memory.release(held.shift()!);
      }
    for (const range of held) memory.release(range);
    expect(memory.meter.deviceBytes).toBe(0);
    expect(memory.allocate(2 ** 20 - 1024, 'everything').address).toBe(1024);
    expect(() => memory.allocate(1, 'more')).toThrow(/more needs 1 MiB, but of the 1 MiB .* 0 MiB are free/);
  });
});

test('cpu options are checked, and the description says what computes', async () => {
  expect(() => cpu({ threads: 1.5 })).toThrow(OptionError);
  expect(backend.description).toMatch(/^WebAssembly (relaxed-simd|simd128), 2 threads$/);
  expect(plain.description).toBe('WebAssembly simd128, 1 thread');
  expect(single.description).toMatch(/on the calling thread$/);
});

test('plans and weights of other backends are refused', async () => {
  const graph = linearGraph('test');
  const weights = backend.createWeights(graphWeights(graph));
  const foreign = layOutGraph(graph, reference.target('f32'));
  await expect(backend.compile(foreign, { weights })).rejects.toThrow(GraphError);
  await expect(many.compile(planned(graph), { weights })).rejects.toThrow(GraphError);
});
