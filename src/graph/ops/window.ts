/** @file A range of a value's bytes as a value of its own: how large values are worked on in parts. */

import { sizeOf, type Shape } from '../../tensor/shape.ts';
import { check, type OpDefinition, type ValueId } from '../op.ts';

export interface WindowOp {
  readonly inputs: { readonly x: ValueId };
  readonly attrs: {
    /** First element, counted through x in row-major order. */
    readonly start: number;
    readonly shape: Shape;
  };
}

export const window: OpDefinition<WindowOp> = {
  summary: 'a contiguous range of a value',
  isView: true,
  infer({ x }, { start, shape }) {
    const [size, whole] = [sizeOf(shape), sizeOf(x.shape)];
    if (typeof size === 'number' && typeof whole === 'number')
      check(start >= 0 && start + size <= whole, `elements ${start} to ${start + size} of ${whole}`);
    return { shape, dtype: x.dtype };
  },
  flops: () => 0,
};
