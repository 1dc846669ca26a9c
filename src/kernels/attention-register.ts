/** @file Attention in registers: the kernel of software adapters, and the one that runs everywhere. */

import source from '../../shaders/attention-register.wgsl';
import { biasOf, readsVectors } from './attention.ts';
import { channelsOf, defineKernel, fold } from './kernel.ts';

/** Passed as uniforms on software adapters, which take a quarter of a second to compile each variant. */
const SIZES = ['HEADS', 'Q_VECTORS', 'K_VECTORS', 'V_VECTORS', 'Q_OFFSET', 'K_OFFSET', 'V_OFFSET'];

export const attentionRegister = defineKernel({
  id: 'attention-register',
  ops: ['attention'],
  supports: readsVectors,
  launches(node, context) {
    const { q, k, v } = node.inputs;
    const { heads, headDim, scale, causal, offsets } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const bias = biasOf(node, context);
    const tiles = Math.ceil(queries / 4);
    const count = batch * heads * tiles;
    return [
      {
        name: 'attention-register',
        source,
        constants: {
          HEADS: heads,
          HEAD_VECTORS: headDim / 4,
          Q_VECTORS: channelsOf(context, q) / 4,
          K_VECTORS: channelsOf(context, k) / 4,
          V_VECTORS: channelsOf(context, v) / 4,
          Q_OFFSET: offsets[0] / 4,
          K_OFFSET: offsets[1] / 4,
          V_OFFSET: offsets[2] / 4,
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
        },
        ...(context.traits.software ? { uniforms: SIZES } : {}),
        dims: { count, tiles, queries, keys, vectors: headDim / 4, ...bias.dims },
        workgroups: fold(Math.ceil(count / 64), context.traits),
      },
    ];
  },
});
