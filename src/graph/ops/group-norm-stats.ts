/** @file Statistics of group normalisation over a part of an image. Made by passes only. */

import { addDims, mulDims, sizeOf } from '../../tensor/shape.ts';
import { check, checkDim, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** Count, mean and sum of squared differences from the mean, for each group of each batch row. */
export interface GroupNormStatsOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** A second source, read as if concatenated to `x` along channels. */
    readonly x2?: ValueId;
    /** [batch, groups, 3] f32: statistics of other parts, to be combined with this one's (Chan et al. 1979). */
    readonly previous?: ValueId;
  };
  readonly attrs: { readonly groups: number };
}

export const groupNormStats: OpDefinition<GroupNormStatsOp> = {
  summary: 'statistics of a group normalisation',
  dtypes: { previous: 'f32' },
  infer({ x, x2, previous }, { groups }) {
    if (x2) x.shape.slice(0, -1).forEach((dim, axis) => checkDim('x2', x2, axis, dim));
    const channels = x2 ? addDims(dimOf(x, -1), dimOf(x2, -1)) : dimOf(x, -1);
    check(
      typeof channels === 'number' && channels % groups === 0,
      `channels must be a multiple of ${groups} groups`,
    );
    const shape = [dimOf(x, 0), groups, 3];
    if (previous) checkShape('previous', previous, shape);
    return { shape, dtype: 'f32' };
  },
  flops: ({ x, x2 }) => mulDims(3, addDims(sizeOf(x.shape), x2 ? sizeOf(x2.shape) : 0)),
};
