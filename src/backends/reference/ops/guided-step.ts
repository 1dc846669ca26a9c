/** @file Reference for guidedStep: guidance, times the factor, then the scheduler step. */

import type { GuidedStepOp } from '../../../graph/ops/guided-step.ts';
import { guide } from '../guide.ts';
import { elementCount, type ReferenceOp } from '../op.ts';
import { stepState } from './scheduler-step.ts';

export const guidedStep: ReferenceOp<GuidedStepOp> = (inputs, { slots }) => {
  const { state, output, factor, noise, coefficients, row } = inputs;
  const size = elementCount(output.shape.slice(1));
  const guided = new Float64Array(row.data.length * size);
  row.data.forEach((r, image) => {
    const scale = factor ? factor.data[image] : 1;
    guided.set(
      guide(output, coefficients, r, image).map((value) => scale * value),
      image * size,
    );
  });
  return stepState({ slots, state, output: guided, noise, coefficients, row });
};
