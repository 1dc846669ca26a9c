/** @file A sum in which each batch row weighs the second value: how residuals of other networks enter. */

import { check, checkDim, checkRank, checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

/** x + scale[batch row, column] * addend. */
export interface AddScaledOp {
  readonly inputs: {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** The shape of x, or [batch, channels] for one vector at every position. */
    readonly addend: ValueId;
    /** [batch, columns] f32 */
    readonly scale: ValueId;
  };
  readonly attrs: {
    /** Column of `scale` that holds the weights. */
    readonly column: number;
  };
}

export const addScaled: OpDefinition<AddScaledOp> = {
  summary: 'sum weighted by batch row',
  inPlace: ['x'],
  dtypes: { scale: 'f32' },
  infer({ x, addend, scale }, { column }) {
    if (addend.shape.length === x.shape.length) checkShape('addend', addend, x.shape);
    else checkShape('addend', addend, [dimOf(x, 0), dimOf(x, -1)]);
    checkRank('scale', scale, 2);
    checkDim('scale', scale, 0, dimOf(x, 0));
    const columns = dimOf(scale, 1);
    check(typeof columns !== 'number' || (column >= 0 && column < columns), `scale has no column ${column}`);
    return { shape: x.shape, dtype: 'float' };
  },
};
