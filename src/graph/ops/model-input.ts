/** @file What a network is fed at a step: a linear combination of the scheduler's state, repeated for guidance. */

import { mulDims } from '../../tensor/shape.ts';
import { check, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** See `schedulers/scheduler.ts` for the state and `schedulers/coefficients.ts` for the table's columns. */
export interface ModelInputOp {
  readonly inputs: {
    /** [slots, images, height, width, channels] f32; slot 0 is the latents. */
    readonly state: ValueId;
    /** [rows, columns] f32 */
    readonly coefficients: ValueId;
    /** [images] i32: each image's row of the table. */
    readonly row: ValueId;
  };
  readonly attrs: {
    readonly slots: number;
    /** 2 under classifier-free guidance (unconditional images first), else 1. */
    readonly copies: number;
  };
}

export const modelInput: OpDefinition<ModelInputOp> = {
  summary: 'scaled latents, repeated for guidance',
  dtypes: { state: 'f32', coefficients: 'f32', row: 'i32' },
  infer({ state, coefficients, row }, { slots, copies }) {
    checkRank('state', state, 5);
    checkRank('coefficients', coefficients, 2);
    check(dimOf(state, 0) === slots, `state must have ${slots} slots`);
    const [, images = 0, ...rest] = state.shape;
    checkShape('row', row, [images]);
    return { shape: [mulDims(copies, images), ...rest], dtype: 'float' };
  },
};
