/** @file Computes one op case on one backend; in any runtime. */
import type { Backend, Program } from '../../src/backends/backend.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import type { FloatDType } from '../../src/tensor/dtype.ts';
import { caseGraph, caseInputs, caseWeights, type OpCase } from '../cases/case.ts';

/** Whether a program can fill everything that a run must write with NaN; the reference has nothing to fill. */
function canPoison(program: Program): program is Program & { poison(): void } {
  return 'poison' in program && typeof program.poison === 'function';
}

/**
 * Compiles a case, runs it once with everything poisoned, and reads its output.
 * @param given what the data is rounded to before: a reference is given what another type computes on
 */
export async function computeCase(
  on: Pick<Backend, 'target' | 'createWeights' | 'compile'>,
  dtype: FloatDType,
  testCase: OpCase,
  given: FloatDType = dtype,
): Promise<Float32Array> {
  const planned = layOutGraph(caseGraph(testCase), on.target(dtype));
  const weights = on.createWeights(caseWeights(testCase, given));
  const program = await on.compile(planned, { weights });
  for (const [name, data] of caseInputs(testCase, given)) program.write(name, data);
  if (canPoison(program)) program.poison();
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}
