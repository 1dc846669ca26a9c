/** @file Attention through workgroup memory: the kernel of GPUs. */

import source from '../../shaders/attention-tiled.wgsl';
import { biasOf, HEAD_SIZES, headSizes, readsVectors } from './attention.ts';
import { defineKernel, fold } from './kernel.ts';

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
    const { q, k } = node.inputs;
    const { heads, headDim, scale, causal } = node.attrs;
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
          ...headSizes(node, context, 1),
          HEAD: headDim,
          COLUMNS: columns,
          V_ROWS: Math.min(32, 2 ** Math.floor(Math.log2(STAGED / (columns * 16)))),
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
          SUBGROUPS: subgroupSize >= 16 && subgroupSize <= 64,
        },
        uniforms: HEAD_SIZES,
        dims: { tiles, batch, queries, keys, ...bias.dims },
        workgroups: fold(tiles * heads * batch, context.traits),
      },
    ];
  },
});
