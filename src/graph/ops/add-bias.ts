/** @file Adds a vector to the last axis. */

import { checkShape, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface AddBiasOp {
  readonly inputs: {
    /** [..., channels] */
    readonly x: ValueId;
    /** [channels] */
    readonly bias: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const addBias: OpDefinition<AddBiasOp> = {
  summary: 'adds a vector along the last axis',
  inPlace: ['x'],
  infer({ x, bias }) {
    checkShape('bias', bias, [dimOf(x, -1)]);
    return { shape: x.shape, dtype: 'float' };
  },
};
