/** @file Nearest-neighbour resize of NHWC images, as torch's `interpolate(mode="nearest")`. */

import { checkRank, dimOf, type OpDefinition, type ValueId } from '../op.ts';
import type { Dim } from '../../tensor/shape.ts';

export interface UpsampleNearestOp {
  readonly inputs: {
    /** [batch, height, width, channels] */
    readonly x: ValueId;
  };
  /** Size of the output. */
  readonly attrs: { readonly height: Dim; readonly width: Dim };
}

export const upsampleNearest: OpDefinition<UpsampleNearestOp> = {
  summary: 'nearest-neighbour resize',
  infer({ x }, { height, width }) {
    checkRank('x', x, 4);
    return { shape: [dimOf(x, 0), height, width, dimOf(x, 3)], dtype: 'float' };
  },
};
