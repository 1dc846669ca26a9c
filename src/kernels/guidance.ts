/** @file Classifier-free guidance that was not fused with the scheduler's step. */

import source from '../../shaders/guidance.wgsl';
import { coefficientColumns } from '../schedulers/coefficients.ts';
import { factorLaunch } from './guidance-factor.ts';
import { defineKernel, elementCount, foldLanes } from './kernel.ts';

export const guidance = defineKernel({
  id: 'guidance',
  ops: ['guidance'],
  scratchBytes: (node, context) => (node.attrs.rescale ? [4 * context.shapeOf(node.inputs.row)[0]] : []),
  launches(node, context) {
    const [images] = context.shapeOf(node.inputs.row);
    const [rows, columns] = context.shapeOf(node.inputs.coefficients);
    const count = elementCount(context.shapeOf(node.output));
    return [
      ...(node.attrs.rescale ? [factorLaunch(node, context, 'scratch0')] : []),
      {
        name: 'guidance',
        source,
        constants: {
          COLUMNS: columns,
          GUIDANCE_SCALE: coefficientColumns(1).guidanceScale,
          RESCALE: node.attrs.rescale,
        },
        dims: { count, image: count / images, rows },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
