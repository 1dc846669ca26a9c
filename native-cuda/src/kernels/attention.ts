/** @file Attention on tensor cores, in one pass over keys and values. */

import { DEVICE_DTYPE_BYTES } from 'calotype/backend-kit';
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

export const attentionLaunch = defineLaunch('attention', {
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
});

/** Widest heads, by whether the card is a Hopper: others have less shared memory. */
const MAX_HEAD_DIM = { hopper: 512, other: 160 };

/** Where q, k and v begin in their values; launches want multiples of 16 bytes. */
function operandsOf({ attrs: { offsets } }: NodesOf<'attention'>): { q: Operand; k: Operand; v: Operand } {
  const from = (operand: string, channel: number): Operand => ({
    operand,
    offsetBytes: channel * DEVICE_DTYPE_BYTES.f16,
  });
  return { q: from('q', offsets[0]), k: from('k', offsets[1]), v: from('v', offsets[2]) };
}

function stridesOf({ inputs: { q, k, v } }: NodesOf<'attention'>, context: CudaContext): number[] {
  return [q, k, v].map((value) => channelsOf(context, value));
}

export const attention = defineCudaKernel({
  id: 'attention',
  ops: ['attention'],
  supports(node, context) {
    const widest = isHopper(context.device) ? MAX_HEAD_DIM.hopper : MAX_HEAD_DIM.other;
    const { headDim, offsets } = node.attrs;
    const isAligned = [headDim, ...offsets, ...stridesOf(node, context)].every((count) => count % 8 === 0);
    const isPlain = node.inputs.bias === undefined;
    return isNarrow(context, node.output) && isAligned && isPlain && headDim <= widest;
  },
  launches(node, context) {
    const { heads, headDim, scale, causal } = node.attrs;
    const [batch, queries] = context.shapeOf(node.inputs.q);
    const [, keys] = context.shapeOf(node.inputs.k);
    const [qStride, kStride, vStride] = stridesOf(node, context);
    return [
      attentionLaunch.with({
        ...operandsOf(node),
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
      }),
    ];
  },
});
