/** @file Attention of any shape, without tensor cores. */

import { biasStrides, DEVICE_DTYPE_BYTES } from 'calotype/backend-kit';
import { channelsOf, defineCudaKernel, elementOf } from '../kernel.ts';
import { defineLaunch, type Operand } from '../launch.ts';

export const attentionOnlineLaunch = defineLaunch('attention_online', {
  q: 'pointer',
  k: 'pointer',
  v: 'pointer',
  bias: 'pointer',
  y: 'pointer',
  biasBatch: 'i64',
  biasKey: 'i32',
  biasQuery: 'i32',
  biasHead: 'i32',
  batch: 'i32',
  queries: 'i32',
  keys: 'i32',
  heads: 'i32',
  headDim: 'i32',
  qPitch: 'i32',
  kPitch: 'i32',
  vPitch: 'i32',
  scale: 'f32',
  causal: 'i32',
  element: 'i32',
});

/** What shared memory has room for. */
const MAX_HEAD_DIM = 512;

export const attentionOnline = defineCudaKernel({
  id: 'attention-online',
  ops: ['attention'],
  supports: ({ attrs }) => attrs.headDim <= MAX_HEAD_DIM,
  launches(node, context) {
    const { q, k, v, bias } = node.inputs;
    const strides = biasStrides(bias === undefined ? [] : context.shapeOf(bias));
    const { heads, headDim, scale, causal, offsets } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const from = (operand: string, channel: number): Operand => ({
      operand,
      offsetBytes: channel * DEVICE_DTYPE_BYTES[context.dtypeOf(node.output)],
    });
    return [
      attentionOnlineLaunch.with({
        q: from('q', offsets[0]),
        k: from('k', offsets[1]),
        v: from('v', offsets[2]),
        bias: 'bias',
        y: 'y',
        biasBatch: strides.batch,
        biasKey: strides.key,
        biasQuery: strides.query,
        biasHead: strides.head,
        batch,
        queries,
        keys,
        heads,
        headDim,
        qPitch: channelsOf(context, q),
        kPitch: channelsOf(context, k),
        vPitch: channelsOf(context, v),
        scale,
        causal: causal ? 1 : 0,
        element: elementOf(context, node.output),
      }),
    ];
  },
});
