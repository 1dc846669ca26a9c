/** @file A sum with channels weighted by batch row. */

import source from '../../shaders/add-gated.wgsl';
import { channelPass } from './channel-pass.ts';
import { channelsOf, defineKernel } from './kernel.ts';

export const addGated = defineKernel({
  id: 'add-gated',
  ops: ['addGated'],
  inPlace: () => 'x',
  launches(node, context) {
    const { width, constants, dims, workgroups } = channelPass(node, context);
    const columns = channelsOf(context, node.inputs.modulation);
    return [
      {
        name: 'add-gated',
        source,
        constants: { ...constants, COLUMNS: columns / width, GATE: node.attrs.gate / width },
        dims,
        workgroups,
      },
    ];
  },
});
