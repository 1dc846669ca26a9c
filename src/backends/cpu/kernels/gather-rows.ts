/** @file Rows picked by index: of a table that all share, or of each batch row's own tokens. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';

export const gatherRows = defineCpuKernel({
  id: 'gather-rows',
  ops: ['gatherRows', 'selectToken'],
  launches(node, context) {
    const shared = node.kind === 'gatherRows';
    const rows = context.shapeOf(shared ? node.inputs.table : node.inputs.x).at(-2) ?? 1;
    const bytes = 4 * channelsOf(context, node.output);
    return [
      {
        name: 'gatherRows',
        tasks: rowsOf(context, node.output),
        args: [shared ? 'table' : 'x', 'index', 'y', bytes, rows, shared ? 0 : rows],
      },
    ];
  },
});
