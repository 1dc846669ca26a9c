/** @file The lowest frequencies of images scaled. */

import source from '../../shaders/fourier-filter.wgsl';
import { channelsOf, defineKernel, fold } from './kernel.ts';

/** Channels that a workgroup does. */
const BLOCK = 16;

export const fourierFilter = defineKernel({
  id: 'fourier-filter',
  ops: ['fourierFilter'],
  launches(node, context) {
    const [images, height, width] = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    const blocks = Math.ceil(channels / BLOCK);
    const count = images * blocks;
    return [
      {
        name: 'fourier-filter',
        source,
        constants: { CHANNELS: channels, CHANGE: { float: node.attrs.scale - 1 } },
        dims: { height, width, blocks, count },
        workgroups: fold(count, context.traits),
      },
    ];
  },
});
