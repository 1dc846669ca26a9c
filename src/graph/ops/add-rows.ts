/** @file Adds one vector to every position of each batch row: how a time embedding enters a residual block. */

import { checkDim, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface AddRowsOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** [rows, channels]; without `rowIndex` rows must equal batch. */
    readonly rows: ValueId;
    /** [batch] i32: which row each batch row takes. */
    readonly rowIndex?: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const addRows: OpDefinition<AddRowsOp> = {
  summary: 'adds a vector to every position of a batch row',
  inPlace: ['x'],
  dtypes: { rowIndex: 'i32' },
  infer({ x, rows, rowIndex }) {
    checkRank('rows', rows, 2);
    checkDim('rows', rows, 1, dimOf(x, -1));
    if (rowIndex) checkShape('rowIndex', rowIndex, [dimOf(x, 0)]);
    else checkDim('rows', rows, 0, dimOf(x, 0));
    return { shape: x.shape, dtype: 'float' };
  },
};
