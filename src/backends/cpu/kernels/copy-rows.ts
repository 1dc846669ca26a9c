/** @file Concatenation and ranges of channels, where readers cannot do without a copy. */

import { channelsOf, defineCpuKernel, rowsOf, type CpuLaunch } from '../kernel.ts';
import { rowTasks } from './tasks.ts';

export const copyRows = defineCpuKernel({
  id: 'copy-rows',
  ops: ['concat', 'sliceChannels'],
  launches(node, context) {
    const rows = rowsOf(context, node.output);
    const outBytes = 4 * channelsOf(context, node.output);
    /** Channels of one value to a range of another's. */
    const copy = (
      from: string,
      fromChannel: number,
      channels: number,
      toChannel: number,
      stride: number,
    ): CpuLaunch => {
      const { tasks, chunk } = rowTasks(rows, channels);
      const source = { operand: from, offsetBytes: 4 * fromChannel };
      const target = { operand: 'y', offsetBytes: 4 * toChannel };
      return {
        name: 'copyRows',
        tasks,
        args: [source, target, rows, chunk, 4 * channels, stride, outBytes],
      };
    };
    if (node.kind === 'sliceChannels') {
      const { start, length } = node.attrs;
      return [copy('x', start, length, 0, 4 * channelsOf(context, node.inputs.x))];
    }
    const [a, b] = [channelsOf(context, node.inputs.a), channelsOf(context, node.inputs.b)];
    return [copy('a', 0, a, 0, 4 * a), copy('b', 0, b, a, 4 * b)];
  },
});
