/** @file Sinusoidal embedding of timesteps (diffusers `get_timestep_embedding`). */

import { check, dimOf, type OpDefinition, type ValueId } from '../op.ts';
import { mulDims, sizeOf } from '../../tensor/shape.ts';

export interface TimestepEmbeddingOp {
  readonly inputs: {
    /** [batch] or [batch, n] f32; n numbers a row are embedded side by side. */
    readonly t: ValueId;
  };
  readonly attrs: {
    /** Even; half sines, half cosines, of exp(-ln(maxPeriod) * i / (channels / 2 - freqShift)) * t. */
    readonly channels: number;
    /** Cosines first. */
    readonly flipSinToCos: boolean;
    readonly freqShift: number;
    readonly maxPeriod: number;
  };
}

export const timestepEmbedding: OpDefinition<TimestepEmbeddingOp> = {
  summary: 'sinusoidal timestep embedding',
  dtypes: { t: 'f32' },
  infer({ t }, { channels }) {
    check(t.shape.length === 1 || t.shape.length === 2, 't must be [batch] or [batch, n]');
    check(channels % 2 === 0, 'channels must be even');
    const count = t.shape.length === 2 ? dimOf(t, 1) : 1;
    return { shape: [dimOf(t, 0), mulDims(count, channels)], dtype: 'float' };
  },
  flops: (_inputs, _attrs, output) => mulDims(10, sizeOf(output.shape)),
};
