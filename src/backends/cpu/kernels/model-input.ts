/** @file What a network is fed at a step. */

import { defineCpuKernel, elementCount } from '../kernel.ts';

export const modelInput = defineCpuKernel({
  id: 'model-input',
  ops: ['modelInput'],
  launches(node, context) {
    const { slots, copies } = node.attrs;
    const [images] = context.shapeOf(node.inputs.row);
    const [rows, columns] = context.shapeOf(node.inputs.coefficients);
    const elements = elementCount(context.shapeOf(node.inputs.state)) / (slots * images);
    return [
      {
        name: 'modelInput',
        tasks: copies * images,
        args: ['state', 'coefficients', 'row', 'y', slots, copies, images, elements, rows, columns],
      },
    ];
  },
});
