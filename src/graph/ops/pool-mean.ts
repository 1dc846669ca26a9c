/** @file Mean over all positions of each batch row, channel by channel. */

import { check, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface PoolMeanOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const poolMean: OpDefinition<PoolMeanOp> = {
  summary: 'mean over positions',
  infer({ x }) {
    check(x.shape.length > 2, 'x has no positions');
    return { shape: [dimOf(x, 0), dimOf(x, -1)], dtype: 'float' };
  },
};
