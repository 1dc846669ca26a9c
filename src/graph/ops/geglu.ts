/** @file Gated GELU: the first half of the channels times gelu of the second half (Shazeer 2020, as diffusers orders it). */

import { floorDivDim, mulDims, sizeOf } from '../../tensor/shape.ts';
import { check, dimOf, withChannels, type OpDefinition, type ValueId } from '../op.ts';

export interface GegluOp {
  readonly inputs: {
    /** [..., 2 * channels] */
    readonly x: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const geglu: OpDefinition<GegluOp> = {
  summary: 'first half of the channels times gelu of the second',
  infer({ x }) {
    const channels = dimOf(x, -1);
    check(typeof channels === 'number' && channels % 2 === 0, 'geglu needs an even number of channels');
    return { shape: withChannels(x, floorDivDim(channels, 2)), dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(10, sizeOf(output.shape)),
};
