/** @file Attention on tensor cores, in one pass over keys and values. */

import { biasStrides, DEVICE_DTYPE_BYTES } from 'calotype/backend-kit';
import {
  channelsOf,
  defineCudaKernel,
  elementOf,
  isHopper,
  isNarrow,
  type CudaContext,
  type NodesOf,
} from '../kernel.ts';
import { defineLaunch, type Operand } from '../launch.ts';
import { MEASURED, OVERLAP } from './tensor-core.ts';

/** The struct CalotypeAttentionArgs. */
const ATTENTION = {
  q: 'pointer',
  k: 'pointer',
  v: 'pointer',
  out: 'pointer',
  qStride: 'i32',
  kStride: 'i32',
  vStride: 'i32',
  batch: 'i32',
  heads: 'i32',
  headDim: 'i32',
  queries: 'i32',
  keys: 'i32',
  scale: 'f32',
  causal: 'i32',
  element: 'i32',
  flags: 'i32',
  config: 'i32',
} as const;

export const attentionLaunch = defineLaunch('attention', ATTENTION);

export const attentionBiasedLaunch = defineLaunch('attention_biased', {
  ...ATTENTION,
  bias: 'pointer',
  biasBatch: 'i64',
  biasKey: 'i32',
  biasQuery: 'i32',
  biasHead: 'i32',
});

/** Widest heads, by whether the card is a Hopper: others have less shared memory. */
const MAX_HEAD_DIM = { hopper: 512, other: 160 };

function stridesOf({ inputs: { q, k, v } }: NodesOf<'attention'>, context: CudaContext): number[] {
  return [q, k, v].map((value) => channelsOf(context, value));
}

/** Whether operands are of 16 bits and begin at multiples of 16 bytes, and heads are no wider than this. */
function fits(node: NodesOf<'attention'>, context: CudaContext, widest: number): boolean {
  const { headDim, offsets } = node.attrs;
  const isAligned = [headDim, ...offsets, ...stridesOf(node, context)].every((count) => count % 8 === 0);
  return isNarrow(context, node.output) && isAligned && headDim <= widest;
}

function attentionArguments(node: NodesOf<'attention'>, context: CudaContext) {
  const { heads, headDim, scale, causal, offsets } = node.attrs;
  const [batch, queries] = context.shapeOf(node.inputs.q);
  const [, keys] = context.shapeOf(node.inputs.k);
  const [qStride, kStride, vStride] = stridesOf(node, context);
  const from = (operand: string, channel: number): Operand => ({
    operand,
    offsetBytes: channel * DEVICE_DTYPE_BYTES.f16,
  });
  return {
    q: from('q', offsets[0]),
    k: from('k', offsets[1]),
    v: from('v', offsets[2]),
    out: 'y',
    qStride,
    kStride,
    vStride,
    batch,
    heads,
    headDim,
    queries,
    keys,
    scale,
    causal: causal ? 1 : 0,
    element: elementOf(context, node.output),
    flags: OVERLAP,
    config: MEASURED,
  };
}

export const attention = defineCudaKernel({
  id: 'attention',
  ops: ['attention'],
  supports(node, context) {
    const widest = isHopper(context.device) ? MAX_HEAD_DIM.hopper : MAX_HEAD_DIM.other;
    return node.inputs.bias === undefined && fits(node, context, widest);
  },
  launches: (node, context) => [attentionLaunch.with(attentionArguments(node, context))],
});

/** With masks and relative positions; the bias is divided by the scale on the way. */
export const attentionBiased = defineCudaKernel({
  id: 'attention-biased',
  ops: ['attention'],
  supports: (node, context) =>
    node.inputs.bias !== undefined && node.attrs.scale > 0 && fits(node, context, MAX_HEAD_DIM.other),
  launches(node, context) {
    const { bias } = node.inputs;
    const strides = biasStrides(bias === undefined ? [] : context.shapeOf(bias));
    return [
      attentionBiasedLaunch.with({
        ...attentionArguments(node, context),
        bias: 'bias',
        biasBatch: strides.batch,
        biasKey: strides.key,
        biasQuery: strides.query,
        biasHead: strides.head,
      }),
    ];
  },
});
