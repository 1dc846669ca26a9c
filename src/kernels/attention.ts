/** @file What the attention kernels share. */

import { biasStrides } from '../graph/ops/attention.ts';
import { channelsOf, type KernelContext, type NodesOf } from './kernel.ts';

/** Constants and sizes of shaders/lib/attention-bias.wgsl. */
export function biasOf(
  { inputs: { bias } }: NodesOf<'attention'>,
  context: KernelContext,
): { readonly constants: { readonly BIAS: boolean }; readonly dims: Readonly<Record<string, number>> } {
  if (bias === undefined) return { constants: { BIAS: false }, dims: {} };
  const { batch, key, query, head } = biasStrides(context.shapeOf(bias));
  return {
    constants: { BIAS: true },
    dims: { biasBatch: batch, biasKey: key, biasQuery: query, biasHead: head },
  };
}

/** Passed as uniforms where drivers are slow: they take about a second to compile each variant. */
export const HEAD_SIZES = ['HEADS', 'Q_WIDTH', 'K_WIDTH', 'V_WIDTH', 'Q_OFFSET', 'K_OFFSET', 'V_OFFSET'];

/** Where heads are in rows of q, k and v, in vectors of so many channels. */
export function headSizes(
  { inputs: { q, k, v }, attrs: { heads, offsets } }: NodesOf<'attention'>,
  context: KernelContext,
  width: number,
): Readonly<Record<string, number>> {
  return {
    HEADS: heads,
    Q_WIDTH: channelsOf(context, q) / width,
    K_WIDTH: channelsOf(context, k) / width,
    V_WIDTH: channelsOf(context, v) / width,
    Q_OFFSET: offsets[0] / width,
    K_OFFSET: offsets[1] / width,
    V_OFFSET: offsets[2] / width,
  };
}

/** Whether rows of q, k and v, and the heads in them, can be read in vectors of 4 channels. */
export function readsVectors(node: NodesOf<'attention'>, context: KernelContext): boolean {
  const { q, k, v } = node.inputs;
  const { headDim, offsets } = node.attrs;
  return [headDim, ...offsets, ...[q, k, v].map((id) => channelsOf(context, id))].every(
    (count) => count % 4 === 0,
  );
}

/** Whether attention can be computed on subgroup matrices: all of one type, in vectors of 8 channels, and without a mask of its own. */
export function suitsMatrices(
  { inputs, attrs, output }: NodesOf<'attention'>,
  context: KernelContext,
): boolean {
  const { q, k, v } = inputs;
  const { headDim, offsets, causal, scale } = attrs;
  return (
    !causal &&
    scale > 0 &&
    [q, k, v, output].every((value) => context.dtypeOf(value) === context.dtypeOf(q)) &&
    [headDim, ...offsets, ...[q, k, v].map((id) => channelsOf(context, id))].every((count) => count % 8 === 0)
  );
}
