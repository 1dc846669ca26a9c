/** @file One scheduler step: a linear map of the scheduler's state, the network's output and fresh noise. */

import { mulDims, sameDim, sizeOf } from '../../tensor/shape.ts';
import { check, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** See `schedulers/scheduler.ts` for the formula and `schedulers/coefficients.ts` for the table's columns. */
export interface SchedulerStepOp {
  readonly inputs: {
    /** [slots, images, height, width, channels] f32 */
    readonly state: ValueId;
    /** [images, height, width, channels] */
    readonly output: ValueId;
    /** [images, height, width, channels] f32, standard normal; absent when no step of the table uses noise. */
    readonly noise?: ValueId;
    /** [rows, columns] f32 */
    readonly coefficients: ValueId;
    /** A row for each image or for each pixel: [images] or [images * height * width] i32. */
    readonly row: ValueId;
  };
  readonly attrs: { readonly slots: number };
}

export const schedulerStep: OpDefinition<SchedulerStepOp> = {
  summary: 'one scheduler step',
  inPlace: ['state'],
  dtypes: { state: 'f32', noise: 'f32', coefficients: 'f32', row: 'i32' },
  infer({ state, output, noise, coefficients, row }, { slots }) {
    checkRank('state', state, 5);
    checkRank('coefficients', coefficients, 2);
    check(dimOf(state, 0) === slots, `state must have ${slots} slots`);
    checkShape('output', output, state.shape.slice(1));
    if (noise) checkShape('noise', noise, state.shape.slice(1));
    checkRank('row', row, 1);
    const pixels = sizeOf(state.shape.slice(1, 4));
    check(
      sameDim(dimOf(row, 0), dimOf(state, 1)) || sameDim(dimOf(row, 0), pixels),
      'row must have an element for each image or for each pixel',
    );
    return { shape: state.shape, dtype: 'f32' };
  },
  flops: (_inputs, { slots }, output) => mulDims(2 * (slots + 3), sizeOf(output.shape)),
};
