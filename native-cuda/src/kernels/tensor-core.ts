/** @file What the launches of kernels for tensor cores have in common (kernels/calotype.h). */

import type { CudaKernel } from '../kernel.ts';

/** CALOTYPE_OVERLAP: the kernel may be scheduled before the one ahead of it has ended, where the card can do that. */
export const OVERLAP = 1;

/** The tile that was measured best for a shape. */
export const MEASURED = -1;

/** CALOTYPE_HALF_SUMS of kernels/matrix_sm80.h: products of halves are summed in halves, 128 at a time. */
const HALF_SUMS = 2;

/** A kernel of the matrix product, with such sums where the backend was opened for them. */
export function inHalves(kernel: CudaKernel): CudaKernel {
  return {
    ...kernel,
    id: `${kernel.id}-half-sums`,
    supports: (node, context) =>
      context.accumulate === 'f16' &&
      context.dtypeOf(node.output) === 'f16' &&
      kernel.supports(node, context),
    launches: (node, context) =>
      kernel
        .launches(node, context)
        .map(({ type, args }) =>
          'flags' in args ? { type, args: { ...args, flags: OVERLAP | HALF_SUMS } } : { type, args },
        ),
  };
}
