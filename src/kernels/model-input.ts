/** @file What a network is fed at a step. */

import source from '../../shaders/model-input.wgsl';
import { coefficientColumns } from '../schedulers/coefficients.ts';
import { defineKernel, elementCount, foldLanes } from './kernel.ts';

export const modelInput = defineKernel({
  id: 'model-input',
  ops: ['modelInput'],
  launches(node, context) {
    const { slots } = node.attrs;
    const count = elementCount(context.shapeOf(node.output));
    const [images] = context.shapeOf(node.inputs.row);
    const [rows, columns] = context.shapeOf(node.inputs.coefficients);
    return [
      {
        name: 'model-input',
        source,
        constants: { SLOTS: slots, INPUT: coefficientColumns(slots).input, COLUMNS: columns },
        dims: {
          count,
          images,
          image: elementCount(context.shapeOf(node.inputs.state)) / (slots * images),
          rows,
        },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
