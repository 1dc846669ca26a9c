/** @file Reference for upsampleNearest. */

import type { UpsampleNearestOp } from '../../../graph/ops/upsample-nearest.ts';
import { elementCount, mapElements, type ReferenceOp } from '../op.ts';

/** Source index of torch's `nearest` mode, which computes it in f32. */
function sourceIndex(to: number, size: number, outSize: number): number {
  return Math.min(Math.floor(Math.fround(to * Math.fround(size / outSize))), size - 1);
}

export const upsampleNearest: ReferenceOp<UpsampleNearestOp> = ({ x }, _attrs, output) => {
  const [, height = 1, width = 1, channels = 1] = x.shape;
  const [, outHeight = 1, outWidth = 1] = output;
  return mapElements(elementCount(output), (to) => {
    const pixel = Math.floor(to / channels);
    const column = sourceIndex(pixel % outWidth, width, outWidth);
    const row = sourceIndex(Math.floor(pixel / outWidth) % outHeight, height, outHeight);
    const image = Math.floor(pixel / (outWidth * outHeight));
    return x.data[((image * height + row) * width + column) * channels + (to % channels)];
  });
};
