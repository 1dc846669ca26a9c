/** @file Mean over positions. */

import source from '../../shaders/pool-mean.wgsl';
import { channelsOf, defineKernel, fold, rowsOf } from './kernel.ts';

/** Channels that a workgroup does. */
const BLOCK = 16;

export const poolMean = defineKernel({
  id: 'pool-mean',
  ops: ['poolMean'],
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const [images] = context.shapeOf(node.output);
    const blocks = Math.ceil(channels / BLOCK);
    const count = images * blocks;
    return [
      {
        name: 'pool-mean',
        source,
        constants: { CHANNELS: channels },
        dims: { positions: rowsOf(context, node.inputs.x) / images, blocks, count },
        workgroups: fold(count, context.traits),
      },
    ];
  },
});
