/**
 * @file The CUDA backend on a card: every op case against the reference, with everything poisoned before each run, and
 * small networks against diffusers.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { cuda } from '../../native-cuda/src/cuda.ts';
import { CudaWeights } from '../../native-cuda/src/weights.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { OutOfMemoryError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { layOutGraph, plan } from '../../src/plan/planner.ts';
import { boundOf } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { networkCases } from '../models/cases.ts';
import { NETWORKS } from '../models/fixtures.ts';
import { computeCase } from '../support/compute-case.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

const opened = await cuda().open();
const backend = 'reason' in opened ? undefined : opened;
const missing = 'reason' in opened ? ` (skipped: ${opened.reason})` : '';
const reference = createReferenceBackend();
afterAll(() => backend?.dispose());

describe.skipIf(!backend).each(['f32', 'f16', 'bf16'] as const)(`cuda ops in %s${missing}`, (dtype) => {
  test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
    '%s',
    async (_name, testCase) => {
      const expected = await computeCase(reference, 'f32', testCase, dtype);
      expect(await computeCase(backend!, dtype, testCase)).toMatchNmse(expected, boundOf(testCase, dtype));
    },
  );
});

/** NMSE of a layer on numbers of eight bits. */
const EIGHT_BITS_BOUNDS = { int8: 1e-3, fp8: 3e-3 };

describe.skipIf(!backend).each(['int8', 'fp8'] as const)(
  `linear layers in %s on CUDA${missing}`,
  (format) => {
    test.each(
      TEST_CASES.flatMap((testCase) =>
        testCase.kind === 'linear' && testCase.attrs.int8 ? [[testCase.name, testCase] as const] : [],
      ),
    )('%s', async (_name, testCase) => {
      const other = await cuda({ [format]: 'dynamic' }).open();
      if ('reason' in other) throw new Error(other.reason);
      const expected = await computeCase(reference, 'f32', testCase);
      expect(await computeCase(other, 'f16', testCase)).toMatchNmse(expected, EIGHT_BITS_BOUNDS[format]);
      other.dispose();
    });
  },
);

const hopper = backend?.description.includes('compute capability 9.0') === true;
const whyNoHalfSums = missing || (hopper ? ' (skipped: Hopper has no kernels for them)' : '');

describe.skipIf(!backend || hopper)(`products summed in f16 on CUDA${whyNoHalfSums}`, () => {
  test.each(
    TEST_CASES.flatMap((testCase) =>
      testCase.kind === 'linear' || testCase.kind === 'conv2d' ? [[testCase.name, testCase] as const] : [],
    ),
  )('%s', async (_name, testCase) => {
    const other = await cuda({ accumulate: 'f16' }).open();
    if ('reason' in other) throw new Error(other.reason);
    const expected = await computeCase(reference, 'f32', testCase);
    expect(await computeCase(other, 'f16', testCase)).toMatchNmse(expected, 1e-5);
    other.dispose();
  });
});

/** What a whole network may lose in each type: rounding adds up over its layers. */
const NETWORK_BOUNDS = { f32: 1e-9, f16: 1e-3, bf16: 1e-2 };

describe.skipIf(!backend).each(['f32', 'f16', 'bf16'] as const)(
  `networks on CUDA in %s${missing}`,
  (dtype) => {
    test.each(
      NETWORKS.flatMap((network) =>
        networkCases(network).map((entry) => [network, entry.name, entry] as const),
      ),
    )('%s, %s', async (_network, _name, { graph, reader, inputs, outputs }) => {
      const weights = backend!.createWeights(reader);
      const program = await backend!.compile(plan(graph, backend!.target(dtype)), { weights });
      for (const [name, values] of inputs) program.write(name, values);
      program.run();
      for (const [name, expected] of outputs)
        expect(await program.read(name)).toMatchNmse(expected, NETWORK_BOUNDS[dtype]);
      program.dispose();
      weights.dispose();
    });
  },
);

describe.skipIf(!backend)(`a CUDA card${missing}`, () => {
  test('says how much memory is left where it is too little, and goes on', async () => {
    const b = new GraphBuilder('huge');
    b.output('y', b.affine(b.input('x', [2 ** 37], 'float', 'latent'), 2, 0, 'twice'));
    const graph = b.build();
    const weights = backend!.createWeights(graphWeights(graph));
    const compiling = backend!.compile(layOutGraph(graph, backend!.target('f32')), { weights });
    await expect(compiling).rejects.toThrow(OutOfMemoryError);
    await backend!.idle();
  });

  test('has all its memory back, by its own count, when a program is disposed of', async () => {
    // Large, since the driver keeps small ranges for itself.
    const b = new GraphBuilder('large');
    b.output('y', b.affine(b.input('x', [2 ** 27], 'float', 'latent'), 2, 0, 'twice'));
    const graph = b.build();
    const weights = backend!.createWeights(graphWeights(graph));
    if (!(weights instanceof CudaWeights)) throw new Error('weights of another backend');
    const freeBytes = async (): Promise<number> => {
      await backend!.idle();
      return weights.device.memory().freeBytes;
    };
    // The driver keeps what kernels' code takes, from their first launch on.
    const free: number[] = [];
    for (let i = 0; i < 2; i++) {
      const program = await backend!.compile(layOutGraph(graph, backend!.target('f32')), { weights });
      program.run();
      free.push(await freeBytes());
      program.dispose();
      free.push(await freeBytes());
    }
    expect(free[1] - free[2]).toBeGreaterThan(0.9 * 2 ** 30);
    expect(free[3]).toBe(free[1]);
    weights.dispose();
  });
});
