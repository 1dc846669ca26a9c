/** @file The reference backend against torch, and its programs' semantics. */

import { beforeAll, describe, expect, it } from 'vitest';
import type { Backend, Program, WeightReader } from '../../src/backends/backend.ts';
import { erf } from '../../src/backends/reference/activation.ts';
import { evaluateGraph } from '../../src/backends/reference/evaluate.ts';
import { createReferenceBackend, reference } from '../../src/backends/reference/reference.ts';
import { FileFormatError, GraphError, NotFoundError, OptionError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import type { OpKind, OpMap } from '../../src/graph/ops.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { applyStep, modelInput } from '../../src/schedulers/apply-step.ts';
import { packCoefficients } from '../../src/schedulers/coefficients.ts';
import type { StepCoefficients } from '../../src/schedulers/scheduler.ts';
import { caseGraph, caseInputs, caseWeights, indexList, type CaseInput, type OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { openTensorFixture, type TensorFixture } from '../support/fixtures.ts';
import '../support/nmse.ts';

const noWeights: WeightReader = {
  info: (name) => {
    throw new NotFoundError('no such tensor', { file: 'none', field: name, remedy: 'Give weights' });
  },
  read: () => Promise.reject(new Error('never read')),
};

describe('ops against torch', () => {
  let fixture: TensorFixture;
  beforeAll(async () => {
    fixture = await openTensorFixture('ops/ops.safetensors');
  });

  /** Inputs that are not tensors of the fixture. */
  type Extra = Readonly<Record<string, CaseInput>>;

  function fromFixture(tensor: string): CaseInput {
    const values = [...fixture.f32(tensor)];
    return { shape: fixture.shape(tensor), dtype: 'f32', role: 'input', fill: { kind: 'values', values } };
  }

  /** The op on the fixture's tensors `<name>.*`, as a case. */
  function fixtureCase<K extends OpKind>(
    name: string,
    kind: K,
    attrs: OpMap[K]['attrs'],
    extra: Extra,
  ): OpCase {
    const tensors = fixture.names.filter((tensor) => tensor.startsWith(`${name}.`) && tensor !== `${name}.y`);
    const inputs = Object.fromEntries(
      tensors.map((tensor) => [tensor.slice(name.length + 1), fromFixture(tensor)]),
    );
    // The script names a case's tensors as the op names its inputs; infer() rejects what does not fit.
    return {
      name,
      kind,
      inputs: { ...inputs, ...extra },
      attrs,
      nmse: { f32: 0, f16: 0 },
      bench: false,
    } as OpCase;
  }

  async function compute<K extends OpKind>(
    name: string,
    kind: K,
    attrs: OpMap[K]['attrs'],
    extra: Extra = {},
  ): Promise<ArrayLike<number>> {
    const testCase = fixtureCase(name, kind, attrs, extra);
    return (await evaluateGraph(caseGraph(testCase), caseInputs(testCase), noWeights)).get('y')!;
  }
  const torch = (name: string): Float32Array => fixture.f32(`${name}.y`);

  const plain = { stride: 1, padding: [0, 0, 0, 0], upsample: false, activation: 'none' } as const;

  it.each<[string, Partial<OpMap['conv2d']['attrs']>]>([
    ['conv 3x3', { padding: [1, 1, 1, 1] }],
    ['conv 1x1', {}],
    ['conv stride 2', { stride: 2, padding: [1, 1, 1, 1] }],
    ['conv asymmetric', { stride: 2, padding: [0, 0, 1, 1] }],
    ['conv unpadded', {}],
    ['conv upsample', { padding: [1, 1, 1, 1], upsample: true }],
  ])('%s', async (name, attrs) => {
    expect(await compute(name, 'conv2d', { ...plain, ...attrs })).toMatchNmse(torch(name), 1e-12);
  });

  it('conv with two sources, rows by index, residual and silu', async () => {
    const attrs = { ...plain, padding: [1, 1, 1, 1], activation: 'silu' } as const;
    const y = await compute('conv fused', 'conv2d', attrs, { rowIndex: indexList([2, 0]) });
    expect(y).toMatchNmse(torch('conv fused'), 1e-12);
  });

  it.each([
    ['linear', 'gelu'],
    ['linear geglu', 'geglu'],
  ] as const)('%s', async (name, activation) => {
    expect(await compute(name, 'linear', { activation })).toMatchNmse(torch(name), 1e-12);
  });

  it.each([
    ['group norm', 3, 1e-5],
    ['group norm two sources', 4, 1e-6],
  ])('%s', async (name, groups, eps) => {
    const y = await compute(name, 'groupNorm', { groups, eps, activation: 'silu' });
    expect(y).toMatchNmse(torch(name), 1e-12);
  });

  it('layer norm', async () => {
    expect(await compute('layer norm', 'layerNorm', { eps: 1e-5 })).toMatchNmse(torch('layer norm'), 1e-12);
  });

  it.each(['relu', 'silu', 'gelu', 'quick_gelu', 'tanh'] as const)('%s', async (activation) => {
    expect(await compute(activation, 'activate', { activation })).toMatchNmse(torch(activation), 1e-12);
  });

  it.each([
    ['attention', 8, false],
    ['attention causal', 16, true],
  ])('%s', async (name, headDim, causal) => {
    const attrs = { heads: 2, headDim, scale: 1 / Math.sqrt(headDim), causal, offsets: [0, 0, 0] } as const;
    expect(await compute(name, 'attention', attrs)).toMatchNmse(torch(name), 1e-12);
  });

  it.each([
    ['resize 5x7 to 9x13', 9, 13],
    ['resize 8x3 to 16x6', 16, 6],
    ['resize 10x9 to 6x4', 6, 4],
    ['resize 2x2 to 82x5', 82, 5],
  ])('%s', async (name, height, width) => {
    expect(await compute(name, 'upsampleNearest', { height, width })).toEqual(torch(name));
  });

  it.each([
    ['timesteps', 320, true, 0],
    ['timesteps shifted', 64, false, 1],
    ['time ids', 256, true, 0],
  ])('%s', async (name, channels, flipSinToCos, freqShift) => {
    const y = await compute(name, 'timestepEmbedding', {
      channels,
      flipSinToCos,
      freqShift,
      maxPeriod: 10000,
    });
    // torch's vectorised exp is an f32 rounding away from the exact one here and there.
    expect(y).toMatchNmse(torch(name), 1e-10);
  });

  it.each([
    ['guidance', false],
    ['guidance rescale', true],
  ])('%s', async (name, rescale) => {
    const values = [...packCoefficients([euler(1)], { scale: 7.5, rescale: 0.7 })];
    const shape = [1, values.length];
    const coefficients: CaseInput = { shape, dtype: 'f32', role: 'input', fill: { kind: 'values', values } };
    const y = await compute('guidance', 'guidance', { rescale }, { coefficients, row: indexList([0, 0]) });
    expect(y).toMatchNmse(torch(name), 1e-12);
  });
});

describe('erf', () => {
  // Values of Python's math.erf.
  it.each([
    [0, 0],
    [1e-9, 1.1283791670955127e-9],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [-1, -0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
    [-4.5, -0.9999999998033839],
    [5.9, 0.9999999999999999],
    [30, 1],
    [-Infinity, -1],
  ])('of %f', (x, expected) => expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(1e-15));

  it('of NaN is NaN', () => expect(erf(Number.NaN)).toBeNaN());
});

/** An Euler step of one slot. */
function euler(dt: number): StepCoefficients {
  return {
    timestep: 500,
    input: [0.5],
    x0: { state: [1], output: -2, clip: Infinity },
    next: { state: [[1]], output: [dt], x0: [0], noise: [0] },
    usesNoise: false,
  };
}

describe('scheduler ops against the plain step', () => {
  const step: StepCoefficients = {
    timestep: 300,
    input: [0.5, -0.25],
    x0: { state: [1.5, 0.125], output: -0.75, clip: 1 },
    next: {
      state: [
        [0.75, -0.5],
        [0.25, 1],
      ],
      output: [-1.5, 2],
      x0: [0.5, -0.125],
      noise: [0.25, 0.75],
    },
    usesNoise: true,
  };
  // Two images of three numbers at different steps, so that slots, images and rows cannot be mixed up unseen.
  const slots = [Float32Array.of(1, 2, -3, 4, 0.5, 6), Float32Array.of(-1, 0.25, 2, 3, -4, 1)];
  const output = Float32Array.of(0.5, -1, 2, 1, 3, -2);
  const noise = Float32Array.of(1, -0.5, 0.25, 2, -1, 0.75);
  const other: StepCoefficients = { ...step, input: [2, 1], x0: { ...step.x0, clip: Infinity } };
  const rows = [1, 0];
  const stepOf = (image: number): StepCoefficients => [step, other][rows[image]];
  const part = (data: Float32Array, image: number): Float32Array => data.slice(3 * image, 3 * image + 3);
  const partsOf = (image: number): Float32Array[] => slots.map((slot) => part(slot, image));

  const state = [2, 2, 1, 1, 3];
  const image = state.slice(1);
  const build = (
    append: (b: GraphBuilder, table: { state: number; coefficients: number; row: number }) => number,
  ): Graph => {
    const b = new GraphBuilder('step');
    const table = {
      state: b.input('state', state, 'f32', 'latent'),
      coefficients: b.input('coefficients', [2, 18], 'f32', 'step'),
      row: b.input('row', [2], 'i32', 'latent'),
    };
    b.output('y', append(b, table));
    return b.build();
  };
  const inputs = new Map<string, Float32Array | Int32Array>([
    ['state', Float32Array.from([...slots[0], ...slots[1]])],
    ['coefficients', packCoefficients([step, other], { scale: 3, rescale: 0 })],
    ['row', Int32Array.from(rows)],
    ['output', output],
    ['noise', noise],
    ['pair', Float32Array.from([...output, ...output.map((value) => value + 1)])],
    ['factor', Float32Array.of(0.5, 2)],
  ]);
  const next = (guided: Float32Array): number[] => {
    const images = [0, 1].map((i) => applyStep(stepOf(i), partsOf(i), part(guided, i), part(noise, i)));
    return [0, 1].flatMap((slot) => images.flatMap((slotsOf) => [...slotsOf[slot]]));
  };

  it('modelInput repeats the input for guidance', async () => {
    const graph = build((b, table) => b.op('modelInput', 'input', table, { slots: 2, copies: 2 }));
    const once = [0, 1].flatMap((i) => [...modelInput(stepOf(i), partsOf(i))]);
    expect((await evaluateGraph(graph, inputs, noWeights)).get('y')).toMatchNmse([...once, ...once], 1e-13);
  });

  it('schedulerStep', async () => {
    const graph = build((b, table) => {
      const [m, n] = ['output', 'noise'].map((name) => b.input(name, image, 'f32', 'latent'));
      return b.op('schedulerStep', 'step', { ...table, output: m, noise: n }, { slots: 2 });
    });
    expect((await evaluateGraph(graph, inputs, noWeights)).get('y')).toMatchNmse(next(output), 1e-13);
  });

  it('guidedStep', async () => {
    const graph = build((b, table) => {
      const pair = b.input('pair', [4, 1, 1, 3], 'f32', 'latent');
      const n = b.input('noise', image, 'f32', 'latent');
      const factor = b.input('factor', [2], 'f32', 'latent');
      return b.op('guidedStep', 'step', { ...table, output: pair, noise: n, factor }, { slots: 2 });
    });
    // The conditional output is 1 larger, so guidance of 3 adds 3.
    const guided = output.map((value, i) => (i < 3 ? 0.5 : 2) * (value + 3));
    expect((await evaluateGraph(graph, inputs, noWeights)).get('y')).toMatchNmse(next(guided), 1e-13);
  });
});

describe('programs', () => {
  let backend: Backend;
  beforeAll(async () => {
    const opened = await reference().open();
    if (!('compile' in opened)) throw new Error(opened.reason);
    backend = opened;
  });

  const compile = async (graph: Graph, weights: WeightReader = noWeights): Promise<Program> =>
    backend.compile(layOutGraph(graph, backend.target('f32')), { weights: backend.createWeights(weights) });

  it.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
    '%s: as without a plan',
    async (_, testCase) => {
      const graph = caseGraph(testCase);
      const inputs = caseInputs(testCase);
      const program = await compile(graph, caseWeights(testCase));
      for (const [name, data] of inputs) program.write(name, data);
      program.run();
      const expected = (await evaluateGraph(graph, inputs, caseWeights(testCase))).get('y')!;
      expect(await program.read('y')).toEqual(Float32Array.from(expected));
    },
  );

  /** x -> relu(x + 1) twice, then the sum with x: a chain that reuses its arena. */
  function chain(): Graph {
    const b = new GraphBuilder('chain');
    const x = b.input('x', [1, 4], 'float', 'latent');
    const once = b.activate(b.affine(x, 1, 1), 'relu');
    b.output('y', b.add(b.activate(b.affine(once, 1, 1), 'relu'), x));
    return b.build();
  }

  it('runs again on new inputs', async () => {
    const program = await compile(chain());
    program.write('x', Float32Array.of(0, 1, -5, 3));
    program.run();
    expect([...(await program.read('y'))]).toEqual([2, 4, -4, 8]);
    program.write('x', Float32Array.of(10, 10, 10, 10));
    program.run();
    expect([...(await program.read('y'))]).toEqual([22, 22, 22, 22]);
  });

  it('shows when a plan lets two live values share bytes', async () => {
    const b = new GraphBuilder('overlap');
    const x = b.input('x', [1, 4], 'float', 'latent');
    b.output('y', b.add(b.affine(x, 1, 1), b.affine(x, 1, 2)));
    const planned = layOutGraph(b.build(), backend.target('f32'));
    const [first, second] = planned.dispatches.map(({ node }) => planned.values.get(node.output)!);
    const values = new Map(planned.values).set(planned.dispatches[1].node.output, {
      ...second,
      place: first.place,
    });
    const results: number[][] = [];
    for (const plan of [planned, { ...planned, values }]) {
      const program = await backend.compile(plan, { weights: backend.createWeights(noWeights) });
      program.write('x', Float32Array.of(0, 1, -5, 3));
      program.run();
      results.push([...(await program.read('y'))]);
    }
    expect(results).toEqual([
      [3, 5, -7, 9],
      [4, 6, -6, 10],
    ]);
  });

  it('computes NaN from what a run has not written, in every run', async () => {
    const planned = layOutGraph(chain(), backend.target('f32'));
    const plan = { ...planned, dispatches: planned.dispatches.slice(1) };
    const program = await backend.compile(plan, { weights: backend.createWeights(noWeights) });
    for (const _ of [1, 2]) {
      program.run();
      expect([...(await program.read('y'))]).toEqual(Array.from({ length: 4 }, () => Number.NaN));
    }
  });

  /** state <- state + dt * (uncond + 2 * (cond - uncond)) with both outputs given. */
  function stepGraph(): Graph {
    const b = new GraphBuilder('step');
    const state = b.input('state', [1, 1, 1, 1, 2], 'f32', 'latent');
    const output = b.input('output', [2, 1, 1, 2], 'float', 'latent');
    const coefficients = b.input('coefficients', [2, 10], 'f32', 'step');
    const row = b.input('row', [1], 'i32', 'latent');
    const next = b.op('guidedStep', 'step', { state, output, coefficients, row }, { slots: 1 });
    b.output('next', next, 'state');
    return b.build();
  }

  it('makes an updating output the next run’s input, and shares tensors between programs', async () => {
    const first = await compile(stepGraph());
    const table = packCoefficients([euler(0.5), euler(-1)], { scale: 2, rescale: 0 });
    expect(table).toHaveLength(20);
    first.write('state', Float32Array.of(10, 20));
    first.write('output', Float32Array.of(1, 1, 2, 3));
    first.write('coefficients', table);
    first.write('row', Int32Array.of(0));
    first.run(); // + 0.5 * (3, 5)
    first.write('row', Int32Array.of(1));
    first.run(); // - (3, 5)
    expect([...(await first.read('state'))]).toEqual([8.5, 17.5]);
    expect([...(await first.read('next'))]).toEqual([8.5, 17.5]);

    const b = new GraphBuilder('look');
    b.output('y', b.affine(b.input('state', [1, 1, 1, 1, 2], 'f32', 'latent'), 2, 0));
    const plan = layOutGraph(b.build(), backend.target('f32'));
    const second = await backend.compile(plan, {
      weights: backend.createWeights(noWeights),
      tensors: new Map([['state', first.tensor('state')]]),
    });
    second.run();
    expect([...(await second.read('y'))]).toEqual([17, 35]);
    first.run();
    second.run();
    expect([...(await second.read('y'))]).toEqual([11, 25]);
  });

  it('refuses a shared tensor that does not fit', async () => {
    const first = await compile(stepGraph());
    const plan = layOutGraph(chain(), backend.target('f32'));
    const tensors = new Map([['x', first.tensor('row')]]);
    await expect(
      backend.compile(plan, { weights: backend.createWeights(noWeights), tensors }),
    ).rejects.toThrow(GraphError);
  });

  it('refuses wrong inputs and unknown names', async () => {
    const program = await compile(chain());
    expect(() => program.write('x', new Float32Array(3))).toThrow(OptionError);
    expect(() => program.write('x', new Int32Array(4))).toThrow(
      /x: is a Int32Array of 4 elements. Give a Float32Array of 4/,
    );
    expect(() => program.write('z', new Float32Array(4))).toThrow(
      /z: is no input or output. Use one of x, y/,
    );
    expect(() => program.tensor('z')).toThrow(OptionError);
    program.dispose();
    expect(() => program.run()).toThrow(GraphError);
    await expect(evaluateGraph(chain(), new Map(), noWeights)).rejects.toThrow(
      /x: is missing. Give a Float32Array of 4/,
    );
  });

  it('refuses f16 and plans of other backends', async () => {
    expect(() => backend.target('f16')).toThrow(OptionError);
    const plan = { ...layOutGraph(chain(), backend.target('f32')), target: 'webgpu' };
    await expect(backend.compile(plan, { weights: backend.createWeights(noWeights) })).rejects.toThrow(
      GraphError,
    );
  });

  it('times every dispatch', async () => {
    const program = await compile(chain());
    program.write('x', new Float32Array(4));
    const times = await program.profile?.();
    expect(times?.map(({ kernel }) => kernel)).toEqual(['affine', 'activate', 'affine', 'activate', 'add']);
    expect([...(await program.read('y'))]).toEqual([2, 2, 2, 2]);
  });
});

describe('weights', () => {
  const backend = createReferenceBackend();

  /** y = x * [a; b]^T: one weight stacked from two tensors. */
  function stacked(): Graph {
    const b = new GraphBuilder('stacked');
    const x = b.input('x', [1, 2], 'float', 'latent');
    const weight = b.weight('a', [3, 2]);
    b.output('y', b.op('linear', 'fc', { x, weight }, { activation: 'none' }));
    const graph = b.build();
    const parts = [
      { name: 'a', shape: [1, 2] },
      { name: 'b', shape: [2, 2, 1, 1] },
    ];
    return { ...graph, weights: [{ value: weight, parts }] };
  }

  const reads: string[] = [];
  const reader = (shapeOfB: readonly number[] = [2, 2, 1, 1]): WeightReader => ({
    info: (name) =>
      name === 'a'
        ? { dtype: 'F16', shape: [1, 2], file: 'x.safetensors' }
        : { dtype: 'F32', shape: shapeOfB, file: 'x.safetensors' },
    read: (name) => {
      reads.push(name);
      // 1 and -2 in f16; 3, 4, 5, 6 in f32.
      const data = name === 'a' ? Uint16Array.of(0x3c00, 0xc000) : Float32Array.of(3, 4, 5, 6);
      return Promise.resolve(new Uint8Array(data.buffer));
    },
  });

  it('are stacked from parts, decoded, counted, and read once for all programs', async () => {
    reads.length = 0;
    const weights = backend.createWeights(reader());
    const plan = layOutGraph(stacked(), backend.target('f32'));
    const progress: number[] = [];
    const program = await backend.compile(plan, {
      weights,
      onProgress: ({ done, total }) => progress.push(done / total),
    });
    await backend.compile(plan, { weights });
    program.write('x', Float32Array.of(1, 10));
    program.run();
    expect([...(await program.read('y'))]).toEqual([-19, 43, 65]);
    expect(weights.bytes).toBe(24);
    expect(reads).toEqual(['a', 'b']);
    expect(progress).toEqual([1]);
  });

  it('are refused, before anything is read, when a shape is another one', async () => {
    reads.length = 0;
    const weights = backend.createWeights(reader([4, 1]));
    const compiled = backend.compile(layOutGraph(stacked(), backend.target('f32')), { weights });
    await expect(compiled).rejects.toThrow(FileFormatError);
    await expect(compiled).rejects.toThrow(/x.safetensors: b: has shape \[4, 1\], expected \[2, 2, 1, 1\]/);
    expect(reads).toEqual([]);
  });

  it('stop loading when aborted', async () => {
    const weights = backend.createWeights(reader());
    const plan = layOutGraph(stacked(), backend.target('f32'));
    await expect(backend.compile(plan, { weights, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});
