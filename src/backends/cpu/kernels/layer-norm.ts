/** @file Layer normalisation. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const layerNorm = defineCpuKernel({
  id: 'layer-norm',
  ops: ['layerNorm'],
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const { tasks, chunk } = rowTasks(rows, channels);
    const sizes = [rows, chunk, channels, { f32: node.attrs.eps }];
    return [{ name: 'layerNorm', tasks, args: ['x', 'weight', 'bias', 'y', ...sizes] }];
  },
});
