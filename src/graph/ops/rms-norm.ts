/** @file Root mean square normalisation over the last axis (Zhang and Sennrich 2019): T5's norm. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** x / sqrt(mean(x^2) + eps) * weight. */
export interface RmsNormOp {
  readonly inputs: {
    /** [..., channels] */
    readonly x: ValueId;
    /** [channels] */
    readonly weight: ValueId;
  };
  readonly attrs: { readonly eps: number };
}

export const rmsNorm: OpDefinition<RmsNormOp> = {
  summary: 'root mean square normalisation',
  infer({ x, weight }) {
    checkShape('weight', weight, [dimOf(x, -1)]);
    return { shape: x.shape, dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(5, sizeOf(output.shape)),
};
