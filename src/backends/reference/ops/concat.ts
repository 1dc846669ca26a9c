/** @file Reference for concat, and the joining of two sources that conv2d and groupNorm share. */

import type { ConcatOp } from '../../../graph/ops/concat.ts';
import { lastAxis, type Data, type ReferenceOp, type Tensor } from '../op.ts';

/** The elements of `a` and `b` joined along the last axis; those of `a` alone without `b`. */
export function joinChannels(a: Tensor, b: Tensor | undefined): Data {
  if (!b) return a.data;
  const [channelsA, channelsB] = [lastAxis(a.shape), lastAxis(b.shape)];
  const positions = a.data.length / channelsA;
  const joined = new Float32Array(a.data.length + b.data.length);
  for (let i = 0; i < positions; i++) {
    const to = i * (channelsA + channelsB);
    joined.set(a.data.subarray(i * channelsA, (i + 1) * channelsA), to);
    joined.set(b.data.subarray(i * channelsB, (i + 1) * channelsB), to + channelsA);
  }
  return joined;
}

export const concat: ReferenceOp<ConcatOp> = ({ a, b }) => joinChannels(a, b);
