/** @file A sum weighted by batch row. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const addScaled = defineCpuKernel({
  id: 'add-scaled',
  ops: ['addScaled'],
  inPlace: () => 'x',
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const { tasks, chunk } = rowTasks(rows, channels);
    const imageRows = rows / shape[0];
    const addendRows = context.shapeOf(node.inputs.addend).length < shape.length ? imageRows : 1;
    const weights = [channelsOf(context, node.inputs.scale), node.attrs.column];
    return [
      {
        name: 'addScaled',
        tasks,
        args: ['x', 'addend', 'y', 'scale', rows, chunk, channels, imageRows, addendRows, ...weights],
      },
    ];
  },
});
