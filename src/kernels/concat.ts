/** @file Concatenation along channels, where its reader cannot read two sources. */

import source from '../../shaders/concat.wgsl';
import { channelsOf, defineKernel, elementCount, foldLanes } from './kernel.ts';

export const concat = defineKernel({
  id: 'concat',
  ops: ['concat'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    return [
      {
        name: 'concat',
        source,
        constants: {
          CHANNELS_A: channelsOf(context, node.inputs.a),
          CHANNELS_B: channelsOf(context, node.inputs.b),
        },
        dims: { count },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
