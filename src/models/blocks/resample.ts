/** @file Halving and doubling of images (diffusers models/downsampling.py and upsampling.py). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { Dim } from '../../tensor/shape.ts';

/**
 * Convolution 3x3 with stride 2 (`Downsample2D`).
 * @param x [batch, height, width, channels]
 * @param padding `symmetric` (UNets) gives ceil(size / 2); `end` pads bottom and right only (autoencoders) and
 *   gives floor(size / 2).
 */
export function downsample(b: GraphBuilder, x: ValueId, path: string, padding: 'symmetric' | 'end'): ValueId {
  return b.conv2d(x, `${path}.conv`, {
    channels: b.channelsOf(x),
    kernel: 3,
    stride: 2,
    padding: padding === 'symmetric' ? 1 : [0, 0, 1, 1],
  });
}

/**
 * Nearest-neighbour resize to `size`, then a 3x3 convolution (`Upsample2D` with `output_size`).
 * @param x [batch, height, width, channels]
 * @returns [batch, ...size, channels]
 */
export function upsample(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  [height, width]: readonly [height: Dim, width: Dim],
): ValueId {
  const resized = b.upsampleNearest(x, height, width, path);
  return b.conv2d(resized, `${path}.conv`, { channels: b.channelsOf(x), kernel: 3 });
}
