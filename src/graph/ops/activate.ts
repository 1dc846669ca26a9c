/** @file Element-wise activation function. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import type { Activation, OpDefinition, ValueId } from '../op.ts';

export interface ActivateOp {
  readonly inputs: { readonly x: ValueId };
  readonly attrs: { readonly activation: Activation };
}

export const activate: OpDefinition<ActivateOp> = {
  summary: 'activation function',
  inPlace: ['x'],
  infer: ({ x }) => ({ shape: x.shape, dtype: 'float' }),
  flops: (_inputs, _attrs, output) => mulDims(4, sizeOf(output.shape)),
};
