/** @file Parts that were computed one by one, seen as the value they make up. Made by passes only. */

import { addDims, sameDim, sizeOf, type Dim, type Shape } from '../../tensor/shape.ts';
import { check, type OpDefinition, type ValueId } from '../op.ts';

/** The planner gives the parts their places inside the whole, so nothing is copied. */
export interface JoinOp {
  /** `p0`, `p1`, ...: the parts in row-major order; their elements fill the shape one after the other. */
  readonly inputs: Readonly<Record<string, ValueId>>;
  readonly attrs: { readonly shape: Shape };
}

export const join: OpDefinition<JoinOp> = {
  summary: 'parts seen as one value',
  isView: true,
  infer(parts, { shape }) {
    const types = Object.values(parts);
    const total = types.reduce<Dim>((sum, part) => addDims(sum, sizeOf(part.shape)), 0);
    check(sameDim(total, sizeOf(shape)), 'the parts do not fill the shape');
    const dtype = types[0]?.dtype ?? 'float';
    check(
      types.every((part) => part.dtype === dtype),
      'the parts have different element types',
    );
    return { shape, dtype };
  },
  flops: () => 0,
};
