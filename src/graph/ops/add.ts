/** @file Element-wise sum of two values of the same shape. */

import { checkShape, type OpDefinition, type ValueId } from '../op.ts';

export interface AddOp {
  readonly inputs: { readonly a: ValueId; readonly b: ValueId };
  readonly attrs: Record<never, never>;
}

export const add: OpDefinition<AddOp> = {
  summary: 'element-wise sum',
  inPlace: ['a', 'b'],
  infer({ a, b }) {
    checkShape('b', b, a.shape);
    return { shape: a.shape, dtype: 'float' };
  },
};
