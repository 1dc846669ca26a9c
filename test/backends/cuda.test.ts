/** @file The CUDA backend on a card: every op case against the reference, with everything poisoned before each run. */
import { afterAll, describe, expect, test } from 'vitest';
import { cuda } from '../../native-cuda/src/cuda.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { OutOfMemoryError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { CUDA_CASES } from '../cuda/cases.ts';
import { computeCase } from '../support/compute-case.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import '../support/nmse.ts';

const opened = await cuda().open();
const backend = 'reason' in opened ? undefined : opened;
const missing = 'reason' in opened ? ` (skipped: ${opened.reason})` : '';
const reference = createReferenceBackend();
afterAll(() => backend?.dispose());

describe.skipIf(!backend).each(['f32', 'f16'] as const)(`cuda ops in %s${missing}`, (dtype) => {
  test.each(CUDA_CASES.map((testCase) => [testCase.name, testCase] as const))(
    '%s',
    async (_name, testCase) => {
      const expected = await computeCase(reference, 'f32', testCase);
      expect(await computeCase(backend!, dtype, testCase)).toMatchNmse(expected, testCase.nmse[dtype]);
    },
  );
});

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
});
