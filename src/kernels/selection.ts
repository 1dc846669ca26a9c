/**
 * @file Which kernel runs a node, and how. The order of the kernel table is the policy: the first kernel that supports a
 * node on a device runs it, in the variant it likes best itself. Measured rows come before that; see tuning.ts.
 */

import { KernelError } from '../errors.ts';
import type { Node } from '../graph/ops.ts';
import type { Kernel, KernelContext } from './kernel.ts';
import { tuningKey } from './tuning-key.ts';

/** What steers the choice on a device. */
export interface SelectionPolicy {
  /** What the device can run, in order of preference; see `kernelsFor`. */
  readonly kernels: readonly Kernel[];
  /** Ids of kernels that shall not be used. */
  readonly without: ReadonlySet<string>;
  /** What was measured to be fastest, as `candidateName` has it, by tuning key. */
  readonly tuned: ReadonlyMap<string, string>;
}

/** A kernel, and its variant if it has several. */
export interface Candidate {
  readonly kernel: Kernel;
  readonly variant?: string;
}

/** `gemm-matrix 4x5 2x2 k1`: names a candidate in rows of measurements. */
export function candidateName({ kernel, variant }: Candidate): string {
  return variant === undefined ? kernel.id : `${kernel.id} ${variant}`;
}

/** Everything that can run a node on a device, what is taken unmeasured first; found one after the other. */
export function* candidatesFor(
  node: Node,
  context: KernelContext,
  { kernels, without }: Pick<SelectionPolicy, 'kernels' | 'without'>,
): Generator<Candidate, void> {
  for (const kernel of kernels) {
    if (without.has(kernel.id) || !kernel.supports(node, context)) continue;
    const variants = kernel.variants(node, context);
    if (variants.length === 0) yield { kernel };
    for (const variant of variants) yield { kernel, variant };
  }
}

/** What runs a node on a device; throws KernelError naming the node if nothing can. */
export function chooseKernel(node: Node, context: KernelContext, policy: SelectionPolicy): Candidate {
  const { without, tuned } = policy;
  const key = tuned.size > 0 ? tuningKey(node, context) : undefined;
  const measured = key === undefined ? undefined : tuned.get(key);
  let first: Candidate | undefined;
  for (const candidate of candidatesFor(node, context, policy)) {
    first ??= candidate;
    if (measured === undefined) break;
    if (candidateName(candidate) === measured) return candidate;
  }
  if (first) return first;
  throw new KernelError(`no WebGPU kernel computes this ${node.kind}`, {
    field: node.name,
    remedy:
      without.size > 0
        ? `Allow a kernel for it (left out: ${[...without].join(', ')})`
        : 'Run the model on another backend, and report its configuration',
  });
}
