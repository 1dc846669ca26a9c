/** @file A sum with channels weighted by batch row. */

import source from '../../shaders/add-gated.wgsl';
import { channelsOf, defineKernel, elementCount, fold } from './kernel.ts';

export const addGated = defineKernel({
  id: 'add-gated',
  ops: ['addGated'],
  inPlace: () => 'x',
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    const width = channels % 4 === 0 ? 4 : 1;
    const count = elementCount(shape) / width;
    return [
      {
        name: 'add-gated',
        source,
        constants: {
          WIDE: width === 4,
          IN_PLACE: context.inPlace === 'x',
          CHANNELS: channels / width,
          COLUMNS: channelsOf(context, node.inputs.modulation) / width,
          GATE: node.attrs.gate / width,
        },
        dims: { count, image: count / shape[0] },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
