/** @file Nearest-neighbour resize, where it does not double the size in front of a convolution. */

import { defineCpuKernel } from '../kernel.ts';

export const upsampleNearest = defineCpuKernel({
  id: 'upsample-nearest',
  ops: ['upsampleNearest'],
  launches(node, context) {
    const [, height, width] = context.shapeOf(node.inputs.x);
    const [batch, outHeight, outWidth, channels] = context.shapeOf(node.output);
    return [
      {
        name: 'upsampleNearest',
        tasks: batch * outHeight,
        args: [
          'x',
          'y',
          height,
          width,
          outHeight,
          outWidth,
          4 * channels,
          { f32: height / outHeight },
          { f32: width / outWidth },
        ],
      },
    ];
  },
});
