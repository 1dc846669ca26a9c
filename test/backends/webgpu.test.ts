/**
 * @file Every op case on WebGPU against the reference, with poisoned outputs and all validation on, as a page has it;
 * then what a program must do besides computing: share tensors, refuse bad input, report progress, stop when told.
 *
 * Runs on whatever adapter there is, software ones included, and says so; without one it is skipped by name.
 */

import { afterAll, describe, expect, test } from 'vitest';
import type { Backend, CompileProgress, WeightStore } from '../../src/backends/backend.ts';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { WebGpuProgram } from '../../src/backends/webgpu/program.ts';
import { FileFormatError, GraphError, KernelError, OptionError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { bindGraph, type Graph } from '../../src/graph/graph.ts';
import type { DeviceTraits } from '../../src/kernels/kernel.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { buildAutoencoderKLDecoder } from '../../src/models/autoencoder-kl.ts';
import { layOutGraph, plan } from '../../src/plan/planner.ts';
import { coefficientColumns, packCoefficients } from '../../src/schedulers/coefficients.ts';
import { boundOf } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from '../support/compute-case.ts';
import { nmse } from '../support/nmse.ts';
import { graphInputs, graphWeights } from '../support/random-graph-data.ts';

/** No robustness toggles: shaders run with every check that a page has. */
const open = (traits: Partial<DeviceTraits> = {}) =>
  webgpu({
    adapter: 'any',
    traits,
    toggles: ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'],
  }).open();

const opened = await open();
const backend: Backend | undefined = 'reason' in opened ? undefined : opened;
const where =
  'reason' in opened
    ? `skipped: ${opened.reason}. ${opened.remedy}`
    : `${opened.description}, ${opened.dtypes.join(' and ')}`;

const reference = createReferenceBackend();
afterAll(() => backend?.dispose());

describe.skipIf(!backend)(`webgpu ops on ${where}`, () => {
  describe.each(backend?.dtypes ?? [])('%s', (dtype) => {
    test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
      '%s',
      async (_name, testCase) => {
        const expected = await computeCase(reference, 'f32', testCase);
        const actual = await computeCase(backend!, dtype, testCase);
        expect(nmse(actual, expected)).toBeLessThanOrEqual(boundOf(testCase, dtype));
      },
    );
  });
});

/** Cases that reach what only the kernels of GPUs have: tiles, split sums, gates, barriers. */
const TILED = [
  'conv2d/two sources with everything',
  'conv2d/320 to 4 channels (conv_out)',
  'conv2d/stride 2, odd size',
  'conv2d/upsample, odd size, 33 to 7 channels',
  'linear/geglu, odd half',
  'linear/deep sum, K = 2560',
  'attention/head of 40',
  'attention/causal, fused QKV',
  'attention/mask',
  'groupNorm/2 channels a group, silu',
  'groupNorm/two sources, boundary inside a group, 7 + 33',
  'groupNormStats/after other parts',
  'adaLayerNorm/96 channels',
  'layerNorm/33 channels',
  'layerNorm/96 channels',
  'layerNorm/768 channels, 77 tokens',
  'guidance/rescale, 3 images, odd size',
];

describe.skipIf(!backend)(`the kernels of GPUs on ${where}`, () => {
  test.each(TILED)('%s', async (name) => {
    const on = await open({ software: false });
    if ('reason' in on) throw new Error(on.reason);
    const testCase = TEST_CASES.find((candidate) => candidate.name === name);
    if (!testCase) throw new RangeError(`no case ${name}`);
    const expected = await computeCase(reference, 'f32', testCase);
    const actual = await computeCase(on, 'f32', testCase);
    expect(nmse(actual, expected)).toBeLessThanOrEqual(testCase.nmse.f32);
    on.dispose();
  });
});

/** Filters, matrices and tables of the cases are f16 numbers, so halves hold them exactly. */
const WEIGHTED = TEST_CASES.filter(
  ({ kind, name }) =>
    kind === 'embedTokens' ||
    name === 'conv2d/two sources with everything' ||
    name === 'linear/geglu, odd half',
);

describe.skipIf(!backend)(`weights in halves under f32 arithmetic on ${where}`, () => {
  const without = { f16: false };
  describe.each([
    ['by default', without],
    ['in the kernels of GPUs', { ...without, software: false }],
  ])('%s', (_which, traits) => {
    test.each(WEIGHTED.map((testCase) => [testCase.name, testCase] as const))(
      '%s',
      async (_name, testCase) => {
        const on = await open(traits);
        if ('reason' in on) throw new Error(on.reason);
        expect(on.target('f16')).toMatchObject({ dtype: 'f32', weightDtype: 'f16' });
        const expected = await computeCase(reference, 'f32', testCase);
        const actual = await computeCase(on, 'f16', testCase);
        expect(nmse(actual, expected)).toBeLessThanOrEqual(testCase.nmse.f32);
        on.dispose();
      },
    );
  });

  test('take half the bytes, and are rounded', async () => {
    const on = await open(without);
    if ('reason' in on) throw new Error(on.reason);
    const b = new GraphBuilder('halves');
    b.output('y', b.linear(b.input('x', [1, 64], 'float', 'latent'), 'fc', { channels: 64, bias: false }));
    const graph = b.build();
    const third = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 65 === 0 ? 1 / 3 : 0));
    const weights = on.createWeights({
      info: () => ({ dtype: 'F32', shape: [64, 64], file: 'thirds' }),
      read: () => Promise.resolve(new Uint8Array(third.buffer)),
    });
    const program = await on.compile(layOutGraph(graph, on.target('f16')), { weights });
    expect(weights.bytes).toBe(64 * 64 * 2);
    program.write('x', new Float32Array(64).fill(3));
    program.run();
    // 1365 / 4096 is the half nearest to a third.
    expect(await program.read('y')).toEqual(new Float32Array(64).fill((3 * 1365) / 4096));
    program.dispose();
    on.dispose();
  });
});

describe.skipIf(!backend)(`webgpu programs on ${where}`, () => {
  const on = backend!;

  /** y = x * weight^T + bias */
  function linearGraph(name: string): Graph {
    const b = new GraphBuilder(name);
    const x = b.input('x', [4, 8], 'float', 'latent');
    b.output('y', b.linear(x, 'fc', { channels: 16 }));
    return b.build();
  }
  const weightsOf = (graph: Graph): WeightStore => on.createWeights(graphWeights(graph));

  test('share tensors', async () => {
    const first = linearGraph('first');
    const b = new GraphBuilder('second');
    b.output('z', b.activate(b.input('y', [4, 16], 'float', 'latent'), 'relu'));
    const second = b.build();
    const weights = weightsOf(first);
    const producer = await on.compile(layOutGraph(first, on.target('f32')), { weights });
    const tensors = new Map([['y', producer.tensor('y')]]);
    const consumer = await on.compile(layOutGraph(second, on.target('f32')), { weights, tensors });
    producer.write('x', new Float32Array(32).fill(0.5));
    producer.run();
    consumer.run();
    const y = await producer.read('y');
    expect(await consumer.read('z')).toEqual(y.map((value) => Math.max(0, value)));
    consumer.dispose();
    producer.dispose();
    weights.dispose();
  });

  test('keep a state from run to run', async () => {
    const b = new GraphBuilder('state');
    const state = b.input('state', [1, 2, 3, 3, 4], 'f32', 'latent');
    const output = b.input('output', [2, 3, 3, 4], 'float', 'latent');
    const coefficients = b.input('coefficients', [1, coefficientColumns(1).count], 'f32', 'latent');
    const row = b.input('row', [2], 'i32', 'latent');
    b.output(
      'state',
      b.op('schedulerStep', 'step', { state, output, coefficients, row }, { slots: 1 }),
      'state',
    );
    const graph = b.build();
    const weights = weightsOf(graph);
    const program = await on.compile(layOutGraph(graph, on.target('f32')), { weights });
    const step = {
      timestep: 0,
      input: [1],
      x0: { state: [0], output: 0, clip: Infinity },
      next: { state: [[2]], output: [1], x0: [0], noise: [0] },
      usesNoise: false,
    };
    program.write('coefficients', packCoefficients([step], { scale: 1, rescale: 0 }));
    program.write('row', new Int32Array(2));
    program.write('output', new Float32Array(72).fill(1));
    program.write('state', new Float32Array(72).fill(3));
    program.run();
    program.run();
    // 3 -> 2 * 3 + 1 = 7 -> 2 * 7 + 1 = 15
    expect(await program.read('state')).toEqual(new Float32Array(72).fill(15));
    program.dispose();
    weights.dispose();
  });

  test('refuse inputs and tensors that do not fit, by name', async () => {
    const graph = linearGraph('test');
    const weights = weightsOf(graph);
    const planned = layOutGraph(graph, on.target('f32'));
    const program = await on.compile(planned, { weights });
    expect(() => program.write('x', new Float32Array(31))).toThrow(OptionError);
    expect(() => program.write('nothing', new Float32Array(1))).toThrow(/nothing/);
    await expect((async () => program.read('nothing'))()).rejects.toThrow(/nothing/);
    const tensors = new Map([['x', program.tensor('y')]]);
    await expect(on.compile(planned, { weights, tensors })).rejects.toThrow(/x: cannot be shared/);
    program.dispose();
    weights.dispose();
  });

  test('refuse weights of another shape before reading them', async () => {
    const graph = linearGraph('test');
    const reader = graphWeights(graph);
    const wrong = {
      info: (name: string) => ({ ...reader.info(name), shape: [3, 3], file: 'model.safetensors' }),
      read: () => Promise.reject(new Error('must not be read')),
    };
    const weights = on.createWeights(wrong);
    const compiling = on.compile(layOutGraph(graph, on.target('f32')), { weights });
    await expect(compiling).rejects.toThrow(FileFormatError);
    await expect(compiling).rejects.toThrow(/model\.safetensors.*fc/);
    weights.dispose();
  });

  test('report progress to its end, and stop when told', async () => {
    const graph = linearGraph('test');
    const planned = layOutGraph(graph, on.target('f32'));
    const seen: string[] = [];
    const weights = weightsOf(graph);
    const onProgress = ({ phase, done, total }: CompileProgress): void => {
      if (done === total) seen.push(phase);
    };
    (await on.compile(planned, { weights, onProgress })).dispose();
    expect(new Set(seen)).toEqual(new Set(['weights', 'kernels']));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(on.compile(planned, { weights: weightsOf(graph), signal })).rejects.toThrow('enough');
    weights.dispose();
  });

  test.each([1e9, 230_000])(
    'split a VAE by rows under small limits (buffers of %d bytes)',
    async (maxBufferBytes) => {
      const config = parseAutoencoderKLConfig(
        {
          _class_name: 'AutoencoderKL',
          block_out_channels: [8, 16],
          down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
          up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
          norm_num_groups: 4,
        },
        { file: 'test' },
      );
      const graph = bindGraph(buildAutoencoderKLDecoder(config), { batch: 1, height: 32, width: 32 });
      const target = { ...on.target('f32'), maxBindingBytes: 60_000, maxBufferBytes };
      const planned = plan(graph, target);
      expect(planned.passes.at(-1)).toMatchObject({ pass: 'split-large', refused: {} });
      expect(planned.passes.at(-1)?.applied).toBeGreaterThan(3);
      const weights = weightsOf(graph);
      const program = await on.compile(planned, { weights });
      for (const [name, data] of graphInputs(graph)) program.write(name, data);
      if (program instanceof WebGpuProgram) program.poison();
      program.run();
      const expected = (await evaluateGraph(graph, graphInputs(graph), graphWeights(graph))).get('image');
      expect(nmse(await program.read('image'), expected ?? [])).toBeLessThanOrEqual(1e-10);
      program.dispose();
      weights.dispose();
    },
  );

  test('can be compiled again after a load was stopped half way', async () => {
    const graph = linearGraph('test');
    const planned = layOutGraph(graph, on.target('f32'));
    const stop = new AbortController();
    const reads: string[] = [];
    const reader = graphWeights(graph);
    const weights = on.createWeights({
      info: (name) => reader.info(name),
      read(name) {
        reads.push(name);
        if (reads.length === 1) stop.abort(new Error('enough'));
        return reader.read(name);
      },
    });
    await expect(on.compile(planned, { weights, signal: stop.signal })).rejects.toThrow('enough');
    expect(reads).toHaveLength(1);
    const program = await on.compile(planned, { weights });
    program.write('x', new Float32Array(32));
    program.run();
    expect((await program.read('y')).every(Number.isFinite)).toBe(true);
    program.dispose();
    weights.dispose();
  });

  test('refuse plans and weights of other backends, and use after disposal', async () => {
    const graph = linearGraph('test');
    const weights = weightsOf(graph);
    const planned = layOutGraph(graph, on.target('f32'));
    const foreign = layOutGraph(graph, reference.target('f32'));
    await expect(on.compile(foreign, { weights })).rejects.toThrow(GraphError);
    const foreignWeights = reference.createWeights(graphWeights(graph));
    await expect(on.compile(planned, { weights: foreignWeights })).rejects.toThrow(GraphError);
    const program = await on.compile(planned, { weights });
    program.dispose();
    expect(() => program.run()).toThrow(OptionError);
    weights.dispose();
  });

  test('refuse what is over the largest binding, naming the node', () => {
    const b = new GraphBuilder('large');
    const x = b.input('x', [on.target('f32').maxBindingBytes / 4 + 1], 'float', 'latent');
    b.output('y', b.affine(x, 2, 0, 'twice'));
    const planning = (): unknown => layOutGraph(b.build(), on.target('f32'));
    expect(planning).toThrow(KernelError);
    expect(planning).toThrow(/twice/);
  });

  test('time every dispatch', async () => {
    const graph = linearGraph('test');
    const weights = weightsOf(graph);
    const program = await on.compile(layOutGraph(graph, on.target('f32')), { weights });
    const times = (await program.profile?.()) ?? [];
    expect(new Set(times.map((time) => time.dispatch))).toEqual(
      new Set(program.plan.dispatches.map((_, i) => i)),
    );
    expect(times.every((time) => time.milliseconds >= 0)).toBe(true);
    program.dispose();
    weights.dispose();
  });
});

test.skipIf(!backend)('software adapters are taken only where they are asked for', async () => {
  const attempts = await Promise.all([
    webgpu({ adapter: 'hardware' }).open(),
    webgpu({ adapter: 'software' }).open(),
  ]);
  for (const attempt of attempts)
    if ('reason' in attempt) expect(attempt.remedy).not.toBe('');
    else attempt.dispose();
  expect(attempts.some((attempt) => !('reason' in attempt))).toBe(true);
});

test.skipIf(!backend)('adapters are listed where none has the name, and taken by it', async () => {
  const missing = await webgpu({ adapter: 'any', adapterName: 'no such card' }).open();
  const [, name] =
    /Available adapters: .*name: '([^']+)'/.exec('reason' in missing ? missing.reason : '') ?? [];
  const named = await webgpu({ adapter: 'any', adapterName: name }).open();
  if ('reason' in named) throw new Error(named.reason);
  named.dispose();
});

test("Dawn's null backend is refused: it computes nothing", async () => {
  const attempt = await webgpu({ adapter: 'any', toggles: ['backend=null'] }).open();
  expect('reason' in attempt ? attempt.reason : '').toContain('null');
});
