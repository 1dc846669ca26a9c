/** @file The same bytes in another shape. */

import { formatShape, sameDim, sizeOf, type Shape } from '../../tensor/shape.ts';
import { check, type OpDefinition, type ValueId } from '../op.ts';

export interface ReshapeOp {
  readonly inputs: { readonly x: ValueId };
  readonly attrs: { readonly shape: Shape };
}

export const reshape: OpDefinition<ReshapeOp> = {
  summary: 'the same bytes in another shape',
  isView: true,
  infer({ x }, { shape }) {
    check(
      sameDim(sizeOf(x.shape), sizeOf(shape)),
      `cannot view ${formatShape(x.shape)} as ${formatShape(shape)}`,
    );
    return { shape, dtype: x.dtype };
  },
  flops: () => 0,
};
