/** @file Attention of heads of any size: for those that no faster kernel takes. */

import source from '../../shaders/attention-plain.wgsl';
import { biasOf, headSizes } from './attention.ts';
import { defineKernel, foldLanes } from './kernel.ts';

export const attentionPlain = defineKernel({
  id: 'attention-plain',
  ops: ['attention'],
  launches(node, context) {
    const { q, k } = node.inputs;
    const { heads, headDim, scale, causal } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const bias = biasOf(node, context);
    const count = batch * heads * queries;
    return [
      {
        name: 'attention-plain',
        source,
        constants: {
          ...headSizes(node, context, 1),
          HEAD: headDim,
          SCALE: { float: scale },
          ...bias.constants,
          CAUSAL: causal,
        },
        dims: { count, queries, keys, channels: headDim, ...bias.dims },
        workgroups: foldLanes(count, context.traits),
      },
    ];
  },
});
