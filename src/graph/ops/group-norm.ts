/** @file Group normalisation over NHWC (Wu and He 2018), optionally followed by an activation. */

import { addDims, mulDims, sizeOf } from '../../tensor/shape.ts';
import {
  check,
  checkDim,
  checkShape,
  dimOf,
  withChannels,
  type Activation,
  type OpDefinition,
  type ValueId,
} from '../op.ts';

export interface GroupNormOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** A second source, read as if concatenated to `x` along channels; added by passes. */
    readonly x2?: ValueId;
    /** [channels] */
    readonly weight: ValueId;
    /** [channels] */
    readonly bias: ValueId;
  };
  readonly attrs: { readonly groups: number; readonly eps: number; readonly activation: Activation };
}

export const groupNorm: OpDefinition<GroupNormOp> = {
  summary: 'group normalisation',
  infer({ x, x2, weight, bias }, { groups }) {
    if (x2) x.shape.slice(0, -1).forEach((dim, axis) => checkDim('x2', x2, axis, dim));
    const channels = x2 ? addDims(dimOf(x, -1), dimOf(x2, -1)) : dimOf(x, -1);
    check(
      typeof channels === 'number' && channels % groups === 0,
      `channels must be a multiple of ${groups} groups`,
    );
    checkShape('weight', weight, [channels]);
    checkShape('bias', bias, [channels]);
    return { shape: withChannels(x, channels), dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(8, sizeOf(output.shape)),
};
