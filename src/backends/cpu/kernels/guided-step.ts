/** @file One scheduler step, with or without classifier-free guidance in front. */

import { defineCpuKernel, elementCount } from '../kernel.ts';

export const guidedStep = defineCpuKernel({
  id: 'guided-step',
  ops: ['guidedStep', 'schedulerStep'],
  inPlace: () => 'state',
  launches(node, context) {
    const { slots } = node.attrs;
    const [images] = context.shapeOf(node.inputs.row);
    const [rows, columns] = context.shapeOf(node.inputs.coefficients);
    const elements = elementCount(context.shapeOf(node.output)) / (slots * images);
    const guided = node.kind === 'guidedStep' ? 1 : 0;
    return [
      {
        name: 'guidedStep',
        tasks: images,
        args: [
          'state',
          'output',
          'factor',
          'noise',
          'coefficients',
          'row',
          'y',
          slots,
          images,
          elements,
          rows,
          columns,
          guided,
        ],
      },
    ];
  },
});
