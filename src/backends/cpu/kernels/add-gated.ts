/** @file A sum with channels weighted by batch row. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const addGated = defineCpuKernel({
  id: 'add-gated',
  ops: ['addGated'],
  inPlace: () => 'x',
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const { tasks, chunk } = rowTasks(rows, channels);
    const imageRows = rows / context.shapeOf(node.output)[0];
    const columns = channelsOf(context, node.inputs.modulation);
    const gate = (operand: string) => ({ operand, offsetBytes: 4 * node.attrs.gate });
    const operands = ['x', 'addend', 'y', gate('modulation'), gate('table')];
    return [{ name: 'addGated', tasks, args: [...operands, rows, chunk, channels, imageRows, columns] }];
  },
});
