/** @file Concatenation along the last axis. */

import { addDims } from '../../tensor/shape.ts';
import { check, checkDim, dimOf, withChannels, type OpDefinition, type ValueId } from '../op.ts';

export interface ConcatOp {
  readonly inputs: { readonly a: ValueId; readonly b: ValueId };
  readonly attrs: Record<never, never>;
}

export const concat: OpDefinition<ConcatOp> = {
  summary: 'concatenation along the last axis',
  infer({ a, b }) {
    check(a.shape.length === b.shape.length, 'a and b must have the same number of axes');
    a.shape.slice(0, -1).forEach((dim, axis) => checkDim('b', b, axis, dim));
    return { shape: withChannels(a, addDims(dimOf(a, -1), dimOf(b, -1))), dtype: 'float' };
  },
};
