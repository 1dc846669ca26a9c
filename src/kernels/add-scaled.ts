/** @file A sum weighted by batch row. */

import source from '../../shaders/add-scaled.wgsl';
import { channelPass } from './channel-pass.ts';
import { channelsOf, defineKernel } from './kernel.ts';

export const addScaled = defineKernel({
  id: 'add-scaled',
  ops: ['addScaled'],
  inPlace: () => 'x',
  launches(node, context) {
    const { constants, dims, workgroups } = channelPass(node, context);
    const { addend, scale } = node.inputs;
    return [
      {
        name: 'add-scaled',
        source,
        constants: {
          ...constants,
          VECTORS: context.shapeOf(addend).length < context.shapeOf(node.output).length,
        },
        dims: { ...dims, columns: channelsOf(context, scale), column: node.attrs.column },
        workgroups,
      },
    ];
  },
});
