/** @file Attention through workgroup memory: the kernel of GPUs. */

import source from '../../shaders/attention-tiled.wgsl';
import { biasOf, readsVectors } from './attention.ts';
import { channelsOf, defineKernel, fold } from './kernel.ts';

/** Numbers of v staged at a time. */
const STAGED = 1024;

export const attentionTiled = defineKernel({
  id: 'attention-tiled',
  ops: ['attention'],
  supports: (node, context) =>
    readsVectors(node, context) &&
    !context.traits.software &&
    context.traits.maxInvocationsPerWorkgroup >= 256 &&
    context.traits.maxWorkgroupStorageBytes >= 14336 + 4 * STAGED &&
    node.attrs.headDim <= STAGED / 2,
  launches(node, context) {
    const { q, k, v } = node.inputs;
    const { heads, headDim, scale, causal, offsets } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const bias = biasOf(node, context);
    const tiles = Math.ceil(queries / 64);
    const columns = Math.ceil(headDim / 16);
    const { subgroupSize } = context.traits;
    return [
      {
        name: 'attention-tiled',
        source,
        constants: {
          HEADS: heads,
          HEAD: headDim,
          COLUMNS: columns,
          V_ROWS: Math.min(32, 2 ** Math.floor(Math.log2(STAGED / (columns * 16)))),
          Q_CHANNELS: channelsOf(context, q),
          K_CHANNELS: channelsOf(context, k),
          V_CHANNELS: channelsOf(context, v),
          Q_OFFSET: offsets[0],
          K_OFFSET: offsets[1],
          V_OFFSET: offsets[2],
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
          SUBGROUPS: subgroupSize >= 16 && subgroupSize <= 64,
        },
        dims: { tiles, batch, queries, keys, ...bias.dims },
        workgroups: fold(tiles * heads * batch, context.traits),
      },
    ];
  },
});
