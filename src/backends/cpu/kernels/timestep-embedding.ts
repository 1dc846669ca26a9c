/** @file Sinusoidal timestep embedding. */

import { timestepFrequencies } from '../../../graph/timestep-frequencies.ts';
import { defineCpuKernel, elementCount } from '../kernel.ts';

export const timestepEmbedding = defineCpuKernel({
  id: 'timestep-embedding',
  ops: ['timestepEmbedding'],
  launches(node, context) {
    const { channels, flipSinToCos } = node.attrs;
    return [
      {
        name: 'timestepEmbedding',
        tasks: elementCount(context.shapeOf(node.inputs.t)),
        args: ['t', { data: timestepFrequencies(node.attrs) }, 'y', channels / 2, flipSinToCos ? 1 : 0],
      },
    ];
  },
});
