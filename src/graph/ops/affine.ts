/** @file x * scale + shift with constants. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import type { OpDefinition, ValueId } from '../op.ts';

export interface AffineOp {
  readonly inputs: { readonly x: ValueId };
  readonly attrs: { readonly scale: number; readonly shift: number };
}

export const affine: OpDefinition<AffineOp> = {
  summary: 'x * scale + shift',
  inPlace: ['x'],
  infer: ({ x }) => ({ shape: x.shape, dtype: 'float' }),
  flops: (_inputs, _attrs, output) => mulDims(2, sizeOf(output.shape)),
};
