/** @file A range of the channels. */

import source from '../../shaders/slice-channels.wgsl';
import { channelsOf, defineKernel, elementCount, foldLanes } from './kernel.ts';

export const sliceChannels = defineKernel({
  id: 'slice-channels',
  ops: ['sliceChannels'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    const { start, length } = node.attrs;
    return [
      {
        name: 'slice-channels',
        source,
        constants: { CHANNELS: channelsOf(context, node.inputs.x), START: start, LENGTH: length },
        dims: { count },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
