/** @file Group normalisation of a part of an image by statistics of all its parts. Made by passes only. */

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

export interface GroupNormApplyOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** A second source, read as if concatenated to `x` along channels. */
    readonly x2?: ValueId;
    /** [batch, groups, 3] f32, from groupNormStats */
    readonly stats: ValueId;
    /** [channels] */
    readonly weight: ValueId;
    /** [channels] */
    readonly bias: ValueId;
  };
  readonly attrs: { readonly groups: number; readonly eps: number; readonly activation: Activation };
}

export const groupNormApply: OpDefinition<GroupNormApplyOp> = {
  summary: 'group normalisation by given statistics',
  dtypes: { stats: 'f32' },
  infer({ x, x2, stats, weight, bias }, { groups }) {
    if (x2) x.shape.slice(0, -1).forEach((dim, axis) => checkDim('x2', x2, axis, dim));
    const channels = x2 ? addDims(dimOf(x, -1), dimOf(x2, -1)) : dimOf(x, -1);
    check(
      typeof channels === 'number' && channels % groups === 0,
      `channels must be a multiple of ${groups} groups`,
    );
    checkShape('stats', stats, [dimOf(x, 0), groups, 3]);
    checkShape('weight', weight, [channels]);
    checkShape('bias', bias, [channels]);
    return { shape: withChannels(x, channels), dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(5, sizeOf(output.shape)),
};
