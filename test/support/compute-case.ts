/** @file Computes one op case on one backend; in any runtime. */
import type { Backend } from '../../src/backends/backend.ts';
import { CpuProgram } from '../../src/backends/cpu/program.ts';
import { WebGpuProgram } from '../../src/backends/webgpu/program.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { caseGraph, caseInputs, caseWeights, type OpCase } from '../cases/case.ts';

/** Compiles a case, runs it once with everything poisoned (the reference has nothing to poison), and reads its output. */
export async function computeCase(
  on: Backend,
  dtype: 'f32' | 'f16',
  testCase: OpCase,
): Promise<Float32Array> {
  const planned = layOutGraph(caseGraph(testCase), on.target(dtype));
  const weights = on.createWeights(caseWeights(testCase));
  const program = await on.compile(planned, { weights });
  for (const [name, data] of caseInputs(testCase)) program.write(name, data);
  if (program instanceof WebGpuProgram || program instanceof CpuProgram) program.poison();
  program.run();
  const result = await program.read('y');
  program.dispose();
  weights.dispose();
  return result;
}
