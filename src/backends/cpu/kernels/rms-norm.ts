/** @file Root mean square normalisation. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const rmsNorm = defineCpuKernel({
  id: 'rms-norm',
  ops: ['rmsNorm'],
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const { tasks, chunk } = rowTasks(rows, channels);
    const sizes = [rows, chunk, channels, { f32: node.attrs.eps }];
    return [{ name: 'rmsNorm', tasks, args: ['x', 'weight', 'y', ...sizes] }];
  },
});
