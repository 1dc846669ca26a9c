/** @file The element-wise ops that no pass could fuse: activate, add, addBias, addRows, affine, multiply. */

import { channelsOf, defineCpuKernel, elementCount, rowsOf } from '../kernel.ts';
import { activationCode } from './activation.ts';
import { elementTasks, rowTasks } from './tasks.ts';

export const elementwise = defineCpuKernel({
  id: 'elementwise',
  ops: ['activate', 'add', 'addBias', 'addRows', 'affine', 'multiply'],
  inPlace: (node) => (node.kind === 'add' || node.kind === 'multiply' ? 'a' : 'x'),
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const count = elementCount(shape);
    const { tasks, chunk } = elementTasks(count);
    switch (node.kind) {
      case 'add':
      case 'multiply':
        return [{ name: node.kind, tasks, args: ['a', 'b', 'y', count, chunk] }];
      case 'affine': {
        const { scale, shift } = node.attrs;
        return [{ name: 'affine', tasks, args: ['x', 'y', count, chunk, { f32: scale }, { f32: shift }] }];
      }
      case 'activate': {
        const kind = activationCode(node.attrs.activation);
        return [{ name: 'activateElements', tasks, args: ['x', 'y', count, chunk, kind] }];
      }
      case 'addBias':
      case 'addRows': {
        const channels = channelsOf(context, node.output);
        const rows = rowsOf(context, node.output);
        const byRow = rowTasks(rows, channels);
        const table = node.kind === 'addBias' ? 'bias' : 'rows';
        const [tableRows, images] =
          node.kind === 'addBias' ? [1, 1] : [context.shapeOf(node.inputs.rows)[0], shape[0]];
        const sizes = [rows, byRow.chunk, channels, rows / images, tableRows];
        return [{ name: 'addVectors', tasks: byRow.tasks, args: ['x', 'y', table, 'rowIndex', ...sizes] }];
      }
    }
  },
});
