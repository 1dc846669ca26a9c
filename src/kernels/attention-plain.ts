/** @file Attention of heads of any size, for small models. */

import source from '../../shaders/attention-plain.wgsl';
import { biasOf } from './attention.ts';
import { channelsOf, defineKernel, fold } from './kernel.ts';

export const attentionPlain = defineKernel({
  id: 'attention-plain',
  ops: ['attention'],
  launches(node, context) {
    const { q, k, v } = node.inputs;
    const { heads, headDim, scale, causal, offsets } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const bias = biasOf(node, context);
    const count = batch * heads * queries;
    return [
      {
        name: 'attention-plain',
        source,
        constants: {
          HEADS: heads,
          HEAD: headDim,
          Q_CHANNELS: channelsOf(context, q),
          K_CHANNELS: channelsOf(context, k),
          V_CHANNELS: channelsOf(context, v),
          Q_OFFSET: offsets[0],
          K_OFFSET: offsets[1],
          V_OFFSET: offsets[2],
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
        },
        dims: { count, queries, keys, channels: headDim, ...bias.dims },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
