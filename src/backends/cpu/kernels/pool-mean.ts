/** @file Mean over positions. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';

export const poolMean = defineCpuKernel({
  id: 'pool-mean',
  ops: ['poolMean'],
  launches(node, context) {
    const [images] = context.shapeOf(node.output);
    const positions = rowsOf(context, node.inputs.x) / images;
    return [
      { name: 'poolMean', tasks: images, args: ['x', 'y', positions, channelsOf(context, node.output)] },
    ];
  },
});
