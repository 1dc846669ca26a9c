/**
 * @file Every op case on WebGPU against the reference, with poisoned outputs and all validation on, as a page has it;
 * then what a program must do besides computing: share tensors, refuse bad input, report progress, stop when told.
 *
 * Runs on whatever adapter there is, software ones included, and says so; without one it is skipped by name.
 */

import { afterAll, describe, expect, test } from 'vitest';
import type { Backend, Program } from '../../src/backends/backend.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { webgpu } from '../../src/backends/webgpu/backend.ts';
import { WebGpuProgram } from '../../src/backends/webgpu/program.ts';
import { FileFormatError, GraphError, OptionError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { caseGraph, caseInputs, caseWeights, type OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { nmse } from '../support/nmse.ts';

const opened = await webgpu({
  adapter: 'any',
  toggles: ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'],
}).open();
const backend: Backend | undefined = 'reason' in opened ? undefined : opened;
const where =
  'reason' in opened
    ? `skipped: ${opened.reason}. ${opened.remedy}`
    : `${opened.description}, ${opened.dtypes.join(' and ')}`;

const reference = createReferenceBackend();
afterAll(() => backend?.dispose());

/** Compiles a case, runs it once with everything poisoned, and reads its output. */
async function compute(on: Backend, dtype: 'f32' | 'f16', testCase: OpCase): Promise<Float32Array> {
  const plan = layOutGraph(caseGraph(testCase), on.target(dtype));
  const weights = on.createWeights(caseWeights(testCase));
  const program: Program = await on.compile(plan, { weights });
  for (const [name, data] of caseInputs(testCase)) program.write(name, data);
  if (program instanceof WebGpuProgram) program.poison();
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}

describe.skipIf(!backend)(`webgpu ops on ${where}`, () => {
  describe.each(backend?.dtypes ?? [])('%s', (dtype) => {
    test.each(TEST_CASES.map((testCase) => [testCase.name, testCase] as const))(
      '%s',
      async (_name, testCase) => {
        const expected = await compute(reference, 'f32', testCase);
        const actual = await compute(backend!, dtype, testCase);
        expect(nmse(actual, expected)).toBeLessThanOrEqual(testCase.nmse[dtype]);
      },
    );
  });
});
