/** @file Picks one row of a table for each batch row: how a step finds its entry in a precomputed table. */

import { checkRank, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface GatherRowsOp {
  readonly inputs: {
    /** [rows, channels] */
    readonly table: ValueId;
    /** [batch] i32 */
    readonly index: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const gatherRows: OpDefinition<GatherRowsOp> = {
  summary: 'a row of a table for each batch row',
  dtypes: { index: 'i32' },
  infer({ table, index }) {
    checkRank('table', table, 2);
    checkRank('index', index, 1);
    return { shape: [dimOf(index, 0), dimOf(table, 1)], dtype: table.dtype };
  },
};
