/** @file Picks one token of each sequence: how CLIP pools its text. */

import { checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface SelectTokenOp {
  readonly inputs: {
    /** [batch, tokens, channels] */
    readonly x: ValueId;
    /** [batch] i32 */
    readonly index: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const selectToken: OpDefinition<SelectTokenOp> = {
  summary: 'one token of each sequence',
  dtypes: { index: 'i32' },
  infer({ x, index }) {
    checkRank('x', x, 3);
    checkShape('index', index, [dimOf(x, 0)]);
    return { shape: [dimOf(x, 0), dimOf(x, 2)], dtype: 'float' };
  },
};
