/** @file Fully connected layer over the last axis, with the epilogues that passes fold into it. */

import { floorDivDim, mulDims, sizeOf } from '../../tensor/shape.ts';
import {
  check,
  checkDim,
  checkRank,
  checkShape,
  dimOf,
  withChannels,
  type Activation,
  type OpDefinition,
} from '../op.ts';
import type { ValueId } from '../op.ts';

/** y = x * weight^T: model files use `x` and `weight`; passes add the rest. */
export interface LinearOp {
  readonly inputs: {
    /** [..., channels] */
    readonly x: ValueId;
    /** [outChannels, channels], as torch stores it (a 1x1 convolution's [out, in, 1, 1] is declared as [out, in]). */
    readonly weight: ValueId;
    /** [outChannels] */
    readonly bias?: ValueId;
    /** Same shape as the output; added before the activation. */
    readonly residual?: ValueId;
  };
  readonly attrs: {
    /** `geglu` multiplies the first half of the output channels by gelu of the second half, halving them. */
    readonly activation: Activation | 'geglu';
    /** Whether it may be computed on signed bytes, to what passes/int8.ts says; only that pass sets it, where it was asked for. */
    readonly int8?: true;
  };
}

export const linear: OpDefinition<LinearOp> = {
  summary: 'matrix product over the last axis',
  inPlace: ['residual'],
  infer({ x, weight, bias, residual }, attrs) {
    checkRank('weight', weight, 2);
    checkDim('weight', weight, 1, dimOf(x, -1));
    const out = dimOf(weight, 0);
    if (bias) checkShape('bias', bias, [out]);
    if (attrs.activation === 'geglu') {
      check(typeof out === 'number' && out % 2 === 0, 'geglu needs an even number of channels');
      check(!residual, 'geglu does not take a residual');
    }
    const shape = withChannels(x, attrs.activation === 'geglu' ? floorDivDim(out, 2) : out);
    if (residual) checkShape('residual', residual, shape);
    return { shape, dtype: 'float' };
  },
  flops: ({ x, weight }) => mulDims(2, sizeOf(x.shape), dimOf(weight, 0)),
};
