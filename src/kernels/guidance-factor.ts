/** @file The reduction of guidance rescale: one factor for each image. */

import source from '../../shaders/guidance-factor.wgsl';
import { coefficientColumns } from '../schedulers/coefficients.ts';
import {
  defineKernel,
  elementCount,
  fold,
  reductionConstants,
  type KernelContext,
  type Launch,
  type NodesOf,
} from './kernel.ts';

/** Columns of guidance, which are the same for any number of slots. */
const { guidanceScale, guidanceRescale } = coefficientColumns(1);

/** The launch that computes the factors; `to` is the buffer they go to. */
export function factorLaunch(
  node: NodesOf<'guidance' | 'guidanceFactor'>,
  context: KernelContext,
  to: string,
): Launch {
  const [images] = context.shapeOf(node.inputs.row);
  const [rows, columns] = context.shapeOf(node.inputs.coefficients);
  const reduction = reductionConstants(context.traits);
  return {
    name: 'guidance-factor',
    source,
    constants: {
      ...reduction,
      COLUMNS: columns,
      GUIDANCE_SCALE: guidanceScale,
      GUIDANCE_RESCALE: guidanceRescale,
    },
    dims: { images, image: elementCount(context.shapeOf(node.inputs.output)) / (2 * images), rows },
    workgroups: fold(Math.ceil(images / reduction.REDUCTIONS), context.traits),
    aliases: { y: to },
  };
}

export const guidanceFactor = defineKernel({
  id: 'guidance-factor',
  ops: ['guidanceFactor'],
  launches: (node, context) => [factorLaunch(node, context, 'y')],
});
