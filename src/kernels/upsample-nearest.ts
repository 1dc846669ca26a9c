/** @file Nearest-neighbour resize, where it does not double the size in front of a convolution. */

import source from '../../shaders/upsample-nearest.wgsl';
import { channelsOf, defineKernel, elementCount, foldLanes } from './kernel.ts';

/** The bits of size / outSize as f32, for a `Dims` member. */
function scaleBits(size: number, outSize: number): number {
  return new Uint32Array(new Float32Array([size / outSize]).buffer)[0];
}

export const upsampleNearest = defineKernel({
  id: 'upsample-nearest',
  ops: ['upsampleNearest'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    const [, height, width] = context.shapeOf(node.inputs.x);
    const [, outHeight, outWidth] = context.shapeOf(node.output);
    return [
      {
        name: 'upsample-nearest',
        source,
        constants: { CHANNELS: channelsOf(context, node.output) },
        dims: {
          count,
          height,
          width,
          outHeight,
          outWidth,
          scaleY: scaleBits(height, outHeight),
          scaleX: scaleBits(width, outWidth),
        },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
