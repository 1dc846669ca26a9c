/** @file Layer normalisation, scaled and shifted by batch row. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const adaLayerNorm = defineCpuKernel({
  id: 'ada-layer-norm',
  ops: ['adaLayerNorm'],
  launches(node, context) {
    const { eps, shift, scale } = node.attrs;
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const { tasks, chunk } = rowTasks(rows, channels);
    const imageRows = rows / context.shapeOf(node.output)[0];
    const columns = channelsOf(context, node.inputs.modulation);
    const shifts = (operand: string) => ({ operand, offsetBytes: 4 * shift });
    const operands = ['x', shifts('modulation'), shifts('table'), 'y'];
    const sizes = [rows, chunk, channels, { f32: eps }, imageRows, columns, 4 * (scale - shift)];
    return [{ name: 'adaLayerNorm', tasks, args: [...operands, ...sizes] }];
  },
});
