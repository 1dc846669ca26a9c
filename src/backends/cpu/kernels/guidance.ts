/** @file Classifier-free guidance that was not fused with the scheduler's step, and the factors of its rescale. */

import { defineCpuKernel, elementCount, type CpuContext, type CpuLaunch, type NodesOf } from '../kernel.ts';

/** Images, elements of one, and the size of the coefficient table: the arguments that both launches end with. */
function sizesOf(node: NodesOf<'guidance' | 'guidanceFactor'>, context: CpuContext): number[] {
  const [images] = context.shapeOf(node.inputs.row);
  const [rows, columns] = context.shapeOf(node.inputs.coefficients);
  return [images, elementCount(context.shapeOf(node.inputs.output)) / (2 * images), rows, columns];
}

function factorLaunch(
  node: NodesOf<'guidance' | 'guidanceFactor'>,
  context: CpuContext,
  to: string,
): CpuLaunch {
  const sizes = sizesOf(node, context);
  return { name: 'guidanceFactor', tasks: sizes[0], args: ['output', 'coefficients', 'row', to, ...sizes] };
}

export const guidance = defineCpuKernel({
  id: 'guidance',
  ops: ['guidance', 'guidanceFactor'],
  scratchBytes: (node, context) =>
    node.kind === 'guidance' && node.attrs.rescale ? [4 * context.shapeOf(node.inputs.row)[0]] : [],
  launches(node, context) {
    if (node.kind === 'guidanceFactor') return [factorLaunch(node, context, 'y')];
    const sizes = sizesOf(node, context);
    const { rescale } = node.attrs;
    return [
      ...(rescale ? [factorLaunch(node, context, 'scratch0')] : []),
      {
        name: 'guidance',
        tasks: sizes[0],
        args: ['output', 'coefficients', 'row', rescale ? 'scratch0' : 0, 'y', ...sizes],
      },
    ];
  },
});
