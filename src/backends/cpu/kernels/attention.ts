/** @file Attention with an online softmax. */

import { biasStrides } from '../../../graph/ops/attention.ts';
import {
  channelsOf,
  defineCpuKernel,
  THREAD_SCRATCH_BYTES,
  type Argument,
  type CpuContext,
  type NodesOf,
} from '../kernel.ts';

/** Queries of a panel in wasm/attention.ts. */
const PANEL = 24;

/** Most queries of a task: keys and values come from the outer caches once for all of them. */
const MAX_QUERIES = 48;

/** Most keys of a block: their scores for a panel stay in the innermost cache. */
const MAX_KEYS = 128;

interface Blocks {
  readonly queries: number;
  readonly keys: number;
}

function blocksOf({ inputs }: NodesOf<'attention'>, context: CpuContext): Blocks {
  const [, queries] = context.shapeOf(inputs.q);
  const [, keys] = context.shapeOf(inputs.k);
  return {
    queries: Math.min(MAX_QUERIES, Math.ceil(queries / PANEL) * PANEL),
    keys: Math.min(MAX_KEYS, keys),
  };
}

/** Scores with room for a last six keys, then for each panel of queries itself, its sums, and its softmax's state. */
function scratchBytes({ queries, keys }: Blocks, headDim: number): number {
  return 4 * (PANEL * (keys + 5) + queries * (2 * headDim + 3));
}

/** Arguments of attention kernels: where heads are, how many and how large, and what is added to scores. */
export function attentionOperands(
  { inputs, attrs }: NodesOf<'attention'>,
  context: CpuContext,
): Readonly<Record<'values' | 'sizes' | 'bias', readonly Argument[]>> {
  const { q, k, v, bias } = inputs;
  const { heads, headDim, scale, causal, offsets } = attrs;
  const [, queries] = context.shapeOf(q);
  const [, keys] = context.shapeOf(k);
  const strides = biasStrides(bias === undefined ? [] : context.shapeOf(bias));
  const from = (operand: string, channels: number): Argument => ({ operand, offsetBytes: 4 * channels });
  return {
    values: [from('q', offsets[0]), from('k', offsets[1]), from('v', offsets[2]), 'y'],
    sizes: [
      queries,
      keys,
      heads,
      headDim,
      ...[q, k, v].map((id) => channelsOf(context, id)),
      { f32: scale * Math.LOG2E },
      causal ? 1 : 0,
    ],
    bias: ['bias', strides.batch, strides.key, strides.query, strides.head],
  };
}

export const attention = defineCpuKernel({
  id: 'attention',
  ops: ['attention'],
  supports: (node, context) =>
    node.attrs.headDim % 8 === 0 &&
    scratchBytes(blocksOf(node, context), node.attrs.headDim) <= THREAD_SCRATCH_BYTES,
  launches(node, context) {
    const [batch, queries] = context.shapeOf(node.inputs.q);
    const blocks = blocksOf(node, context);
    const { values, sizes, bias } = attentionOperands(node, context);
    return [
      {
        name: 'attention',
        tasks: batch * node.attrs.heads * Math.ceil(queries / blocks.queries),
        args: [...values, ...sizes, blocks.queries, blocks.keys, ...bias],
      },
    ];
  },
});
