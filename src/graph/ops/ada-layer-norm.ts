/** @file Layer normalisation whose scale and shift are conditions (adaLN, Peebles and Xie 2023; PixArt's adaLN-single). */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkModulation, type ModulationInputs } from '../modulation.ts';
import type { OpDefinition, ValueId } from '../op.ts';

/** normalised(x) * (1 + scale) + shift, where both are ranges of `modulation[batch row] + table`. */
export interface AdaLayerNormOp {
  readonly inputs: ModulationInputs & {
    /** [batch, ..., channels] */
    readonly x: ValueId;
  };
  readonly attrs: {
    readonly eps: number;
    /** First columns of the shift and the scale, each `channels` wide; multiples of `channels`. */
    readonly shift: number;
    readonly scale: number;
  };
}

export const adaLayerNorm: OpDefinition<AdaLayerNormOp> = {
  summary: 'layer normalisation, scaled and shifted by batch row',
  infer({ x, modulation, table }, { shift, scale }) {
    for (const column of [shift, scale]) checkModulation(x, modulation, table, column);
    return { shape: x.shape, dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(10, sizeOf(output.shape)),
};
