/** @file Classifier-free guidance (Ho and Salimans 2022), with diffusers' `guidance_rescale` (Lin et al. 2023). */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkDim, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** uncond + scale * (cond - uncond); scale and rescale come from the coefficient table, by image. */
export interface GuidanceOp {
  readonly inputs: {
    /** [2 * images, height, width, channels]: unconditional images first. */
    readonly output: ValueId;
    /** [rows, columns] f32, see `schedulers/coefficients.ts` */
    readonly coefficients: ValueId;
    /** [images] i32 */
    readonly row: ValueId;
  };
  readonly attrs: {
    /** Whether any row may have a rescale other than 0. */
    readonly rescale: boolean;
  };
}

export const guidance: OpDefinition<GuidanceOp> = {
  summary: 'classifier-free guidance',
  dtypes: { coefficients: 'f32', row: 'i32' },
  infer({ output, coefficients, row }) {
    checkRank('output', output, 4);
    checkRank('coefficients', coefficients, 2);
    checkRank('row', row, 1);
    const images = dimOf(row, 0);
    checkDim('output', output, 0, mulDims(2, images));
    checkShape('output', output, [mulDims(2, images), ...output.shape.slice(1)]);
    return { shape: [images, ...output.shape.slice(1)], dtype: 'f32' };
  },
  flops: (_inputs, { rescale }, output) => mulDims(rescale ? 12 : 3, sizeOf(output.shape)),
};
