/** @file Sinusoidal timestep embedding. */

import source from '../../shaders/timestep-embedding.wgsl';
import { timestepFrequencies } from '../graph/timestep-frequencies.ts';
import { defineKernel, elementCount, foldLanes } from './kernel.ts';

export const timestepEmbedding = defineKernel({
  id: 'timestep-embedding',
  ops: ['timestepEmbedding'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    return [
      {
        name: 'timestep-embedding',
        source,
        constants: {
          CHANNELS: node.attrs.channels,
          COSINES_FIRST: node.attrs.flipSinToCos,
          FREQUENCIES: timestepFrequencies(node.attrs),
        },
        dims: { count },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
