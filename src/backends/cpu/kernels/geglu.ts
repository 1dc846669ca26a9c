/** @file Gated GELU that could not be fused into a linear layer. */

import { channelsOf, defineCpuKernel, rowsOf } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const geglu = defineCpuKernel({
  id: 'geglu',
  ops: ['geglu'],
  launches(node, context) {
    const [rows, channels] = [rowsOf(context, node.output), channelsOf(context, node.output)];
    const { tasks, chunk } = rowTasks(rows, channels);
    return [{ name: 'geglu', tasks, args: ['x', 'y', rows, chunk, channels] }];
  },
});
