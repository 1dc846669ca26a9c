/** @file What the attention kernels share. */

import type { NodeOf } from '../graph/ops.ts';
import { channelsOf, type KernelContext } from './kernel.ts';

/** Whether rows of q, k and v, and the heads in them, can be read in vectors of 4 channels. */
export function readsVectors(node: NodeOf<'attention'>, context: KernelContext): boolean {
  const { q, k, v } = node.inputs;
  const { headDim, offsets } = node.attrs;
  return [headDim, ...offsets, ...[q, k, v].map((id) => channelsOf(context, id))].every(
    (count) => count % 4 === 0,
  );
}
