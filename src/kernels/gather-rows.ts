/** @file Rows picked by index: of a table that all share, or of each batch row's own tokens. */

import source from '../../shaders/gather-rows.wgsl';
import { channelsOf, defineKernel, elementCount, foldLanes } from './kernel.ts';

export const gatherRows = defineKernel({
  id: 'gather-rows',
  ops: ['gatherRows', 'selectToken'],
  launches(node, context) {
    const count = elementCount(context.shapeOf(node.output));
    const x = node.kind === 'gatherRows' ? node.inputs.table : node.inputs.x;
    const rows = context.shapeOf(x).at(-2) ?? 1;
    return [
      {
        name: 'gather-rows',
        source,
        constants: { CHANNELS: channelsOf(context, node.output) },
        uniforms: ['CHANNELS'],
        dims: { count, rows, stride: node.kind === 'gatherRows' ? 0 : rows },
        workgroups: foldLanes(count, context.traits),
        ...(node.kind === 'gatherRows' ? { aliases: { x: 'table' } } : {}),
      },
    ];
  },
});
