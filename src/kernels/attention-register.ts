/** @file Attention in registers: the kernel of software adapters, and the one that runs everywhere. */

import source from '../../shaders/attention-register.wgsl';
import { biasOf, HEAD_SIZES, headSizes, readsVectors } from './attention.ts';
import { defineKernel, foldLanes } from './kernel.ts';

/** The widest head of a GPU's thread: NVIDIA's Vulkan driver refuses the 16 KiB that a VAE's head of 512 takes. */
const WIDEST = 160;

export const attentionRegister = defineKernel({
  id: 'attention-register',
  ops: ['attention'],
  supports: (node, context) =>
    readsVectors(node, context) && (context.traits.software || node.attrs.headDim <= WIDEST),
  launches(node, context) {
    const { q, k } = node.inputs;
    const { heads, headDim, scale, causal } = node.attrs;
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
          HEAD_VECTORS: headDim / 4,
          ...headSizes(node, context, 4),
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
        },
        ...(context.traits.software ? { uniforms: HEAD_SIZES } : {}),
        dims: { count, tiles, queries, keys, vectors: headDim / 4, ...bias.dims },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
