/** @file A sum weighted by batch row. */

import source from '../../shaders/add-scaled.wgsl';
import { channelsOf, defineKernel, elementCount, fold } from './kernel.ts';

export const addScaled = defineKernel({
  id: 'add-scaled',
  ops: ['addScaled'],
  inPlace: () => 'x',
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    const width = channels % 4 === 0 ? 4 : 1;
    const count = elementCount(shape) / width;
    return [
      {
        name: 'add-scaled',
        source,
        constants: {
          WIDE: width === 4,
          IN_PLACE: context.inPlace === 'x',
          VECTORS: context.shapeOf(node.inputs.addend).length < shape.length,
          CHANNELS: channels / width,
        },
        dims: {
          count,
          image: count / shape[0],
          columns: channelsOf(context, node.inputs.scale),
          column: node.attrs.column,
        },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
