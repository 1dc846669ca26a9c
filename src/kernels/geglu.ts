/** @file Gated GELU that could not be fused into a linear layer. */

import source from '../../shaders/geglu.wgsl';
import { channelsOf, defineKernel, elementCount, foldLanes } from './kernel.ts';

export const geglu = defineKernel({
  id: 'geglu',
  ops: ['geglu'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    return [
      {
        name: 'geglu',
        source,
        constants: { CHANNELS: channelsOf(context, node.output), ACTIVATION: 'none' },
        dims: { count },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
