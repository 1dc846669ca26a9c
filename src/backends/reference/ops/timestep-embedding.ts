/** @file Reference for timestepEmbedding. */

import type { TimestepEmbeddingOp } from '../../../graph/ops/timestep-embedding.ts';
import { elementCount, mapElements, type ReferenceOp } from '../op.ts';

/**
 * diffusers computes angles in f32, which moves that of t = 1000 by up to 4e-5: rounding where it rounds gives
 * its numbers and not merely similar ones.
 */
export const timestepEmbedding: ReferenceOp<TimestepEmbeddingOp> = ({ t }, attrs, output) => {
  const { channels, flipSinToCos, freqShift, maxPeriod } = attrs;
  const half = channels / 2;
  return mapElements(elementCount(output), (to) => {
    const channel = to % channels;
    const i = channel % half;
    const exponent = Math.fround(
      Math.fround(Math.fround(-Math.log(maxPeriod)) * i) / Math.fround(half - freqShift),
    );
    const angle = Math.fround(t.data[Math.floor(to / channels)] * Math.fround(Math.exp(exponent)));
    return channel < half === flipSinToCos ? Math.cos(angle) : Math.sin(angle);
  });
};
