/** @file Sinusoidal timestep embedding. */

import source from '../../shaders/timestep-embedding.wgsl';
import type { TimestepEmbeddingOp } from '../graph/ops/timestep-embedding.ts';
import { defineKernel, elementCount, fold } from './kernel.ts';

/**
 * exp(-ln(maxPeriod) * i / (half - freqShift)), rounded to f32 where torch rounds (diffusers `get_timestep_embedding`):
 * a frequency that is off by its last bit turns the angle of t = 1000 by 6e-5.
 */
function frequencies({ channels, freqShift, maxPeriod }: TimestepEmbeddingOp['attrs']): Float32Array {
  const half = channels / 2;
  const slope = Math.fround(-Math.log(maxPeriod));
  const divisor = Math.fround(half - freqShift);
  return Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(slope * i) / divisor)),
  );
}

export const timestepEmbedding = defineKernel({
  id: 'timestep-embedding',
  ops: ['timestepEmbedding'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    return [
      {
        name: 'timestep-embedding',
        source,
        constants: {
          CHANNELS: node.attrs.channels,
          COSINES_FIRST: node.attrs.flipSinToCos,
          FREQUENCIES: frequencies(node.attrs),
        },
        dims: { count },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
