/** @file The frequencies of the sinusoidal timestep embedding, which kernels take from the host. */

import type { TimestepEmbeddingOp } from './ops/timestep-embedding.ts';

/**
 * exp(-ln(maxPeriod) * i / (half - freqShift)), rounded to f32 where torch rounds (diffusers `get_timestep_embedding`):
 * a frequency that is off by its last bit turns the angle of t = 1000 by 6e-5.
 */
export function timestepFrequencies({
  channels,
  freqShift,
  maxPeriod,
}: TimestepEmbeddingOp['attrs']): Float32Array {
  const half = channels / 2;
  const slope = Math.fround(-Math.log(maxPeriod));
  const divisor = Math.fround(half - freqShift);
  return Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(slope * i) / divisor)),
  );
}
