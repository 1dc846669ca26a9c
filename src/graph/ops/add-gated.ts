/** @file A sum in which a condition weighs each channel of the second value: residuals of adaLN-Zero and adaLN-single. */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkModulation, type ModulationInputs } from '../modulation.ts';
import { checkShape, type OpDefinition, type ValueId } from '../op.ts';

/** x + gate * addend, where the gate is a range of `modulation[batch row] + table`. */
export interface AddGatedOp {
  readonly inputs: ModulationInputs & {
    /** [batch, ..., channels] */
    readonly x: ValueId;
    /** The shape of x. */
    readonly addend: ValueId;
  };
  readonly attrs: {
    /** First column of the gate, `channels` wide; a multiple of `channels`. */
    readonly gate: number;
  };
}

export const addGated: OpDefinition<AddGatedOp> = {
  summary: 'sum with channels weighted by batch row',
  inPlace: ['x'],
  infer({ x, addend, modulation, table }, { gate }) {
    checkShape('addend', addend, x.shape);
    checkModulation(x, modulation, table, gate);
    return { shape: x.shape, dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(3, sizeOf(output.shape)),
};
