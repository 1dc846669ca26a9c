/** @file One scheduler step, with or without classifier-free guidance in front. */

import source from '../../shaders/guided-step.wgsl';
import { coefficientColumns } from '../schedulers/coefficients.ts';
import { defineKernel, elementCount, foldLanes } from './kernel.ts';

export const guidedStep = defineKernel({
  id: 'guided-step',
  ops: ['guidedStep', 'schedulerStep'],
  inPlace: () => 'state',
  launches(node, context) {
    const { slots } = node.attrs;
    const [images] = context.shapeOf(node.inputs.row);
    const [rows, columnCount] = context.shapeOf(node.inputs.coefficients);
    const count = elementCount(context.shapeOf(node.output)) / slots;
    const columns = coefficientColumns(slots);
    return [
      {
        name: 'guided-step',
        source,
        constants: {
          SLOTS: slots,
          COLUMNS: columnCount,
          GUIDED: node.kind === 'guidedStep',
          FACTOR: node.kind === 'guidedStep' && node.inputs.factor !== undefined,
          NOISE: node.inputs.noise !== undefined,
          IN_PLACE: context.inPlace === 'state',
          GUIDANCE_SCALE: columns.guidanceScale,
          X0_STATE: columns.x0State,
          X0_OUTPUT: columns.x0Output,
          CLIP: columns.clip,
          NEXT_STATE: columns.nextState,
          NEXT_OUTPUT: columns.nextOutput,
          NEXT_X0: columns.nextX0,
          NEXT_NOISE: columns.nextNoise,
        },
        dims: { count, image: count / images, rows },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
