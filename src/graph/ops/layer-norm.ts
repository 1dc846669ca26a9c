/** @file Layer normalisation over the last axis (Ba, Kiros and Hinton 2016). */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface LayerNormOp {
  readonly inputs: {
    /** [..., channels] */
    readonly x: ValueId;
    /** [channels] */
    readonly weight: ValueId;
    /** [channels] */
    readonly bias: ValueId;
  };
  readonly attrs: { readonly eps: number };
}

export const layerNorm: OpDefinition<LayerNormOp> = {
  summary: 'layer normalisation',
  infer({ x, weight, bias }) {
    checkShape('weight', weight, [dimOf(x, -1)]);
    checkShape('bias', bias, [dimOf(x, -1)]);
    return { shape: x.shape, dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(8, sizeOf(output.shape)),
};
