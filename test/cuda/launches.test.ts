/** @file From plans to launch lists, without a card: every op case, argument structs against C's, weights, memory. */
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { cudaFrom, type CudaOptions } from '../../native-cuda/src/cuda.ts';
import { defineLaunch, encodeLaunches } from '../../native-cuda/src/launch.ts';
import { LAUNCH_TYPES } from '../../native-cuda/src/kernels/index.ts';
import { KernelError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import type { PlanDemand } from '../../src/plan/demand.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { encodeF16 } from '../../src/tensor/float16.ts';
import { caseGraph, caseInputs, caseWeights } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import { FAKE_CARD, FakeNative } from './fake-native.ts';
import { readKernelStructs } from './headers.ts';

async function open(native: FakeNative, options: CudaOptions = {}): Promise<Backend> {
  const opened = await cudaFrom(() => Promise.resolve(native), options).open();
  if ('reason' in opened) throw new Error(opened.reason);
  return opened;
}

/** What a program holds of its demand. */
function bytesOf({ workBytes, tensors, weights }: PlanDemand): number {
  return [...tensors, ...weights].reduce((sum, { bytes }) => sum + bytes, workBytes);
}

const structs = readKernelStructs();

test.each(LAUNCH_TYPES.map((type) => [type.name, type] as const))(
  "the arguments of %s are those of its C function, in C's order",
  (name, { fields }) => {
    expect(Object.entries(fields)).toEqual(Object.entries(structs.get(name) ?? {}));
  },
);

test('structs are laid out as C does', () => {
  const launch = defineLaunch('mixed', { a: 'i32', b: 'pointer', c: 'f32', d: 'i64', e: 'i32' });
  expect(launch.bytes).toBe(40);
  expect(defineLaunch('small', { a: 'i32', b: 'f32', c: 'i32' }).bytes).toBe(12);
  const bound = {
    launch: launch.with({ a: -2, b: { operand: 'x', offsetBytes: 4 }, c: 0.5, d: 2 ** 40, e: 7 }),
    node: 'test',
    addressOf: () => 0x1000n,
    constant: () => 0n,
  };
  const { kernels, offsets, args } = encodeLaunches([bound, bound], new Map([['mixed', 3]]));
  expect([...kernels]).toEqual([3, 3]);
  expect([...offsets]).toEqual([0, 40]);
  const view = new DataView(args.buffer);
  expect([view.getInt32(0, true), view.getBigUint64(8, true), view.getFloat32(16, true)]).toEqual([
    -2,
    0x1004n,
    0.5,
  ]);
  expect([view.getBigInt64(24, true), view.getInt32(72, true)]).toEqual([2n ** 40n, 7]);
});

test('numbers that do not fit their fields are refused, with the node', () => {
  const type = defineLaunch('narrow', { count: 'i32' });
  const encode = (count: number) =>
    encodeLaunches(
      [{ launch: type.with({ count }), node: 'conv_in', addressOf: () => 0n, constant: () => 0n }],
      new Map([['narrow', 0]]),
    );
  expect(() => encode(2 ** 31)).toThrow(KernelError);
  expect(() => encode(0.5)).toThrow(/conv_in: narrow: 0\.5 does not fit the i32 count/);
  expect(() => encode(5)).not.toThrow();
});

describe.each(['f32', 'f16', 'bf16'] as const)('every op case in %s', (dtype) => {
  test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
    '%s becomes launches on memory of its own, and frees it',
    async (_name, testCase) => {
      const native = new FakeNative();
      const backend = await open(native);
      const plan = layOutGraph(caseGraph(testCase), backend.target(dtype));
      const weights = backend.createWeights(caseWeights(testCase));
      const program = await backend.compile(plan, { weights });
      for (const [name, data] of caseInputs(testCase)) program.write(name, data);
      program.run();
      expect(await program.read('y')).toHaveLength(
        plan.values.get(plan.outputs[0].value)!.shape.reduce((a, b) => a * b, 1),
      );
      const launches = [...native.graphs.values()].flat();
      expect(launches.length).toBeGreaterThanOrEqual(plan.dispatches.length);
      expect(native.replays).toBe(1);
      expect(native.usedBytes).toBe(bytesOf(backend.demand!(plan, () => 'F32')));
      program.dispose();
      weights.dispose();
      await backend.idle();
      expect(native.bytesAtIdle).toBe(0);
      expect(native.usedBytes).toBe(0);
      expect(native.graphs.size).toBe(0);
      backend.dispose();
      expect(native.openQueues).toBe(0);
    },
  );
});

/** y = x * weight^T + bias */
function linearGraph(): Graph {
  const b = new GraphBuilder('layer');
  const x = b.input('x', [4, 8], 'float', 'latent');
  b.output('y', b.linear(x, 'fc', { channels: 16 }));
  return b.build();
}

describe('a plan', () => {
  test('names the kernel, and gives it addresses and sizes', async () => {
    const native = new FakeNative();
    const backend = await open(native);
    const graph = linearGraph();
    const weights = backend.createWeights(graphWeights(graph));
    const program = await backend.compile(layOutGraph(graph, backend.target('f32')), { weights });
    const [[product, bias]] = native.graphs.values();
    expect(product).toMatchObject({
      kernel: 'product_f32',
      args: {
        width: 4,
        channels: 8,
        outChannels: 16,
        kernelHeight: 1,
        bias: 0n,
        residual: 0n,
        xPitch: 8,
        outPitch: 16,
      },
    });
    expect(bias).toMatchObject({
      kernel: 'add_vectors',
      args: { channels: 16, tableRows: 1, count: 64, rowIndex: 0n },
    });
    // The bias is added in place.
    expect(bias.args['x']).toBe(product.args['out']);
    program.dispose();
  });

  test('is recorded once: new inputs and further runs record nothing', async () => {
    const native = new FakeNative();
    const backend = await open(native);
    const graph = linearGraph();
    const weights = backend.createWeights(graphWeights(graph));
    const program = await backend.compile(layOutGraph(graph, backend.target('f16')), { weights });
    const before = native.usedBytes;
    for (let i = 0; i < 3; i++) {
      program.write('x', new Float32Array(32).fill(i));
      program.run();
    }
    expect([native.graphs.size, native.replays, native.usedBytes]).toEqual([1, 3, before]);
    expect(await program.read('x')).toEqual(new Float32Array(32).fill(2));
    const times = (await program.profile?.()) ?? [];
    expect(times.map(({ dispatch, milliseconds }) => [dispatch, milliseconds])).toEqual([
      [0, 1],
      [1, 2],
    ]);
    program.dispose();
  });
});

describe.each(['int8', 'fp8'] as const)('a layer that may be computed on eight bits, with %s', (format) => {
  const testCase = TEST_CASES.find((candidate) => candidate.name === 'linear/int8, geglu');
  if (!testCase) throw new RangeError('no such case');

  test('is rounded row by row, and then multiplied; its weight is there in eight bits alone', async () => {
    const native = new FakeNative();
    const backend = await open(native, { [format]: 'dynamic' });
    const weights = backend.createWeights(caseWeights(testCase));
    const planned = layOutGraph(caseGraph(testCase), backend.target('f16'));
    const program = await backend.compile(planned, { weights });
    const [[quantize, product]] = native.graphs.values();
    const operands = format === 'int8' ? 1 : 2;
    expect(quantize).toMatchObject({
      kernel: 'quantize_rows',
      args: { rows: 70, channels: 64, gated: 0, operands },
    });
    expect(product).toMatchObject({ kernel: 'gemm', args: { m: 70, n: 176, k: 64, operands } });
    expect([product.args['x'], product.args['xScales']]).toEqual([
      quantize.args['y'],
      quantize.args['scales'],
    ]);
    expect(product.args['weightScales']).toBe(BigInt(product.args['weight'] ?? 0) + 176n * 64n);
    // A byte an element and a scale a row, and the bias.
    expect(weights.bytes).toBe(176 * (64 + 4) + 176 * 2);
    program.dispose();
  });

  test('is computed in f32 and on backends that were not asked for it as it is', async () => {
    const asked = await open(new FakeNative(), { [format]: 'dynamic' });
    const unasked = await open(new FakeNative());
    const kernelOf = (backend: Backend, dtype: 'f32' | 'f16'): string =>
      layOutGraph(caseGraph(testCase), backend.target(dtype)).dispatches[0].kernel;
    expect(kernelOf(asked, 'f16')).toBe(`gemm-${format}`);
    expect(kernelOf(asked, 'f32')).toBe('linear-f32');
    expect(kernelOf(unasked, 'f16')).toBe('gemm');
  });
});

test.each(['linear', 'conv2d'] as const)(
  'sums of %s in f16 are taken where they were asked for',
  async (kind) => {
    const testCase = TEST_CASES.find(
      (candidate) => candidate.kind === kind && !candidate.name.includes('int8'),
    );
    if (!testCase) throw new RangeError('no such case');
    const native = new FakeNative();
    native.cards = [{ ...FAKE_CARD, name: 'Fake RTX', major: 8, minor: 9 }];
    const summing = async (options: CudaOptions, dtype: 'f16' | 'bf16'): Promise<readonly unknown[]> => {
      native.graphs.clear();
      const backend = await open(native, options);
      const planned = layOutGraph(caseGraph(testCase), backend.target(dtype));
      const weights = backend.createWeights(caseWeights(testCase));
      await backend.compile(planned, { weights });
      const [launches] = native.graphs.values();
      return [
        planned.dispatches[0].kernel.endsWith('-half-sums'),
        Number(launches.at(-1)?.args['flags']) & 2,
      ];
    };
    expect(await summing({ accumulate: 'f16' }, 'f16')).toEqual([true, 2]);
    expect(await summing({ accumulate: 'f16' }, 'bf16')).toEqual([false, 0]);
    expect(await summing({}, 'f16')).toEqual([false, 0]);
  },
);

describe('kernels are chosen by what they can do', () => {
  const h100 = FAKE_CARD;
  const a100 = { ...FAKE_CARD, name: 'Fake A100', major: 8 };

  /** The kernel that runs a case on a card. */
  async function chosen(name: string, dtype: 'f32' | 'f16', card = h100): Promise<string> {
    const native = new FakeNative();
    native.cards = [card];
    const backend = await open(native);
    const testCase = TEST_CASES.find((candidate) => candidate.name === name);
    if (!testCase) throw new RangeError(`no case ${name}`);
    return layOutGraph(caseGraph(testCase), backend.target(dtype)).dispatches[0].kernel;
  }

  test.each([
    ['conv2d/3x3 with bias', 'f16', 'conv'],
    ['conv2d/3x3 with bias', 'f32', 'conv-f32'],
    ['conv2d/4 channels in (latents)', 'f32', 'conv-f32'],
    ['conv2d/two sources, 96 + 48', 'f32', 'conv-f32'],
    ['conv2d/two sources, 7 + 33, odd size', 'f32', 'gemm-tiled'],
    ['conv2d/upsample', 'f32', 'conv-f32'],
    ['linear/geglu', 'f32', 'linear-f32'],
    ['linear/77 rows, K = 33', 'f32', 'gemm-tiled'],
    ['attention/head of 512', 'f32', 'attention-f32'],
    ['attention/head of 200, steep', 'f32', 'attention-online'],
    ['conv2d/4 channels in (latents)', 'f16', 'conv-padded'],
    ['conv2d/320 to 4 channels (conv_out)', 'f16', 'conv'],
    ['conv2d/two sources, 96 + 48', 'f16', 'conv'],
    ['conv2d/two sources, 7 + 33, odd size', 'f16', 'gemm-tiled'],
    ['conv2d/upsample', 'f16', 'conv'],
    ['conv2d/negative padding of a doubled image', 'f16', 'gemm-tiled'],
    ['linear/geglu', 'f16', 'gemm'],
    ['linear/geglu, odd half', 'f16', 'gemm-tiled'],
    ['linear/77 rows, K = 33', 'f16', 'gemm-tiled'],
    ['attention/head of 160', 'f16', 'attention'],
    ['attention/head of 160', 'f32', 'attention-online'],
    ['attention/mask', 'f16', 'attention-biased'],
    ['attention/mask', 'f32', 'attention-online'],
    ['attention/head of 5, fused QKV, causal, bias', 'f16', 'attention-online'],
    ['groupNorm/10 channels a group', 'f16', 'group-norm'],
    ['groupNorm/4 groups of 7', 'f16', 'group-norm-chunks'],
    ['groupNorm/relu', 'f16', 'group-norm-chunks'],
    ['layerNorm/96 channels', 'f16', 'layer-norm'],
    ['layerNorm/33 channels', 'f16', 'row-norms'],
  ] as const)('%s in %s: %s', async (name, dtype, kernel) => {
    expect(await chosen(name, dtype)).toBe(kernel);
  });

  test('and by the card: wide heads need the shared memory of a Hopper', async () => {
    expect(await chosen('attention/head of 512', 'f16')).toBe('attention');
    expect(await chosen('attention/head of 512', 'f16', a100)).toBe('attention-online');
    expect(await chosen('attention/head of 160', 'f16', a100)).toBe('attention');
  });
});

test('a bias is read at strides of its axes, 0 where all are alike', async () => {
  const native = new FakeNative();
  const backend = await open(native);
  const attention = TEST_CASES.find(({ name }) => name === 'attention/relative positions')!;
  const weights = backend.createWeights(caseWeights(attention));
  await backend.compile(layOutGraph(caseGraph(attention), backend.target('f16')), { weights });
  const [[launch]] = native.graphs.values();
  const strides = { biasBatch: 0, biasKey: 51 * 3, biasQuery: 3, biasHead: 1 };
  expect(launch).toMatchObject({ kernel: 'attention_biased', args: { ...strides, keys: 51, headDim: 64 } });
  expect(launch.args['bias']).not.toBe(0n);
});

describe('weights', () => {
  const numbers = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => i - 5);

  async function load(dtype: 'F32' | 'F16' | 'BF16' | 'F64', bytes: Uint8Array, target: 'f32' | 'f16') {
    const native = new FakeNative();
    const backend = await open(native);
    const b = new GraphBuilder('filters');
    const x = b.input('x', [1, 5, 5, 3], 'float', 'latent');
    const weight = b.weight('w', [2, 3, 2, 2]);
    b.output(
      'y',
      b.op(
        'conv2d',
        'conv',
        { x, weight },
        { stride: 1, padding: [0, 0, 0, 0], upsample: false, activation: 'none' },
      ),
    );
    const weights = backend.createWeights({
      info: () => ({ dtype, shape: [2, 3, 2, 2], file: 'test' }),
      read: () => Promise.resolve(bytes),
    });
    await backend.compile(layOutGraph(b.build(), backend.target(target)), { weights });
    return {
      native,
      launched: native.launched.map(({ kernel, args }) => ({
        kernel,
        type: args['type'],
        taps: args['taps'],
      })),
    };
  }

  test('of the wanted type are copied as they are, and packed on the card', async () => {
    const halves = encodeF16(numbers);
    const { launched } = await load('F16', new Uint8Array(halves.buffer), 'f16');
    expect(launched).toEqual([{ kernel: 'pack_filters', type: undefined, taps: 4 }]);
  });

  test('are packed as kernels for tensor cores want them, biases too', async () => {
    const packed = async (name: string): Promise<string[]> => {
      const native = new FakeNative();
      const backend = await open(native);
      const testCase = TEST_CASES.find((candidate) => candidate.name === name)!;
      const store = backend.createWeights(caseWeights(testCase));
      await backend.compile(layOutGraph(caseGraph(testCase), backend.target('f16')), { weights: store });
      return native.launched.map(({ kernel }) => kernel).filter((kernel) => kernel.startsWith('pack'));
    };
    expect(await packed('linear/geglu')).toEqual(['pack_geglu', 'pack_geglu']);
    expect(await packed('conv2d/upsample')).toEqual(['pack_conv_upsample']);
    expect(await packed('conv2d/1x1')).toEqual([]);
  });

  test.each([
    ['F32', 'f16', 0, 4],
    ['BF16', 'f32', 2, 2],
    ['F64', 'f32', undefined, 8],
    ['F64', 'f16', 0, 8],
  ] as const)('stored as %s become %s on the card', async (dtype, target, type, bytes) => {
    const { launched } = await load(dtype, new Uint8Array(24 * bytes), target);
    const expected = [{ kernel: 'convert_weight', type, taps: undefined }];
    // float64 is made float32 on the host, which is then converted where that is not wanted.
    const isDirect = dtype === 'F64' && target === 'f32';
    expect(launched.slice(0, -1)).toEqual(isDirect ? [] : expected);
    expect(launched.at(-1)?.kernel).toBe('pack_filters');
  });
});
