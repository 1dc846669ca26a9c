/** @file Reference for schedulerStep; the formula is that of `schedulers/coefficients.ts`. */

import type { SchedulerStepOp } from '../../../graph/ops/scheduler-step.ts';
import { coefficientColumns } from '../../../schedulers/coefficients.ts';
import { elementCount, lastAxis, type ReferenceOp, type Tensor } from '../op.ts';

/** What a scheduler step reads; `output` is the network's, after guidance. */
export interface StepInputs {
  readonly slots: number;
  readonly state: Tensor;
  readonly output: ArrayLike<number>;
  readonly noise: Tensor | undefined;
  readonly coefficients: Tensor;
  readonly row: Tensor;
}

/** The state after one step. */
export function stepState({ slots, state, output, noise, coefficients, row }: StepInputs): Float32Array {
  const columns = coefficientColumns(slots);
  const images = row.data.length;
  const perSlot = elementCount(state.shape.slice(1));
  const size = perSlot / images;
  const result = new Float32Array(state.data.length);
  for (let image = 0; image < images; image++) {
    const first = row.data[image] * lastAxis(coefficients.shape);
    const coefficient = (column: number): number => coefficients.data[first + column];
    const weighted = (column: number, i: number): number => {
      let sum = 0;
      for (let j = 0; j < slots; j++) sum += coefficient(column + j) * state.data[j * perSlot + i];
      return sum;
    };
    const clip = coefficient(columns.clip);
    for (let i = image * size; i < (image + 1) * size; i++) {
      const denoised = weighted(columns.x0State, i) + coefficient(columns.x0Output) * output[i];
      const x0 = Math.min(Math.max(denoised, -clip), clip);
      for (let k = 0; k < slots; k++)
        result[k * perSlot + i] =
          weighted(columns.nextState + k * slots, i) +
          coefficient(columns.nextOutput + k) * output[i] +
          coefficient(columns.nextX0 + k) * x0 +
          (noise ? coefficient(columns.nextNoise + k) * noise.data[i] : 0);
    }
  }
  return result;
}

export const schedulerStep: ReferenceOp<SchedulerStepOp> = (inputs, { slots }) => {
  const { state, output, noise, coefficients, row } = inputs;
  return stepState({ slots, state, output: output.data, noise, coefficients, row });
};
