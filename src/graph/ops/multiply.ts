/** @file Element-wise product of two values of the same shape. */

import { checkShape, type OpDefinition, type ValueId } from '../op.ts';

export interface MultiplyOp {
  readonly inputs: { readonly a: ValueId; readonly b: ValueId };
  readonly attrs: Record<never, never>;
}

export const multiply: OpDefinition<MultiplyOp> = {
  summary: 'element-wise product',
  inPlace: ['a', 'b'],
  infer({ a, b }) {
    checkShape('b', b, a.shape);
    return { shape: a.shape, dtype: 'float' };
  },
};
