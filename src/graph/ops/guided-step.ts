/** @file Guidance and scheduler step in one kernel. Made by passes only. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { check, checkDim, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface GuidedStepOp {
  readonly inputs: {
    /** [slots, images, height, width, channels] f32 */
    readonly state: ValueId;
    /** [2 * images, height, width, channels]: unconditional images first. */
    readonly output: ValueId;
    /** [images] f32 from guidanceFactor; absent means 1. */
    readonly factor?: ValueId;
    /** [images, height, width, channels] f32 */
    readonly noise?: ValueId;
    /** [rows, columns] f32 */
    readonly coefficients: ValueId;
    /** [images] i32 */
    readonly row: ValueId;
  };
  readonly attrs: { readonly slots: number };
}

export const guidedStep: OpDefinition<GuidedStepOp> = {
  summary: 'classifier-free guidance + scheduler step',
  inPlace: ['state'],
  dtypes: { state: 'f32', factor: 'f32', noise: 'f32', coefficients: 'f32', row: 'i32' },
  infer({ state, output, factor, noise, coefficients, row }, { slots }) {
    checkRank('state', state, 5);
    checkRank('coefficients', coefficients, 2);
    check(dimOf(state, 0) === slots, `state must have ${slots} slots`);
    const images = dimOf(state, 1);
    checkDim('output', output, 0, mulDims(2, images));
    if (factor) checkShape('factor', factor, [images]);
    if (noise) checkShape('noise', noise, state.shape.slice(1));
    checkShape('row', row, [images]);
    return { shape: state.shape, dtype: 'f32' };
  },
  flops: (_inputs, { slots }, output) => mulDims(2 * (slots + 5), sizeOf(output.shape)),
};
