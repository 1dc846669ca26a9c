/** @file The reduction that guidance rescale needs: one factor for each image. Made by passes only. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkDim, checkRank, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** rescale * std(cond) / std(guided) + 1 - rescale, with unbiased standard deviations over an image. */
export interface GuidanceFactorOp {
  readonly inputs: {
    /** [2 * images, height, width, channels] */
    readonly output: ValueId;
    /** [rows, columns] f32 */
    readonly coefficients: ValueId;
    /** [images] i32 */
    readonly row: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const guidanceFactor: OpDefinition<GuidanceFactorOp> = {
  summary: 'factor of guidance rescale, by image',
  dtypes: { coefficients: 'f32', row: 'i32' },
  infer({ output, coefficients, row }) {
    checkRank('output', output, 4);
    checkRank('coefficients', coefficients, 2);
    checkDim('output', output, 0, mulDims(2, dimOf(row, 0)));
    return { shape: [dimOf(row, 0)], dtype: 'f32' };
  },
  flops: ({ output }) => mulDims(5, sizeOf(output.shape)),
};
