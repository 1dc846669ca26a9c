/** @file Layer normalisation of the last axis. */

import source from '../../shaders/layer-norm.wgsl';
import { channelsOf, defineKernel, fold, reductionConstants, rowsOf } from './kernel.ts';

export const layerNorm = defineKernel({
  id: 'layer-norm',
  ops: ['layerNorm'],
  launches(node, context) {
    const channels = channelsOf(context, node.output);
    const rows = rowsOf(context, node.output);
    const width = channels % 4 === 0 ? 4 : 1;
    const reduction = reductionConstants(context.traits);
    return [
      {
        name: 'layer-norm',
        source,
        constants: {
          ...reduction,
          WIDE: width === 4,
          CHANNELS: { float: channels },
          VECTORS: channels / width,
          EPS: { float: node.attrs.eps },
        },
        dims: { rows },
        workgroups: fold(Math.ceil(rows / reduction.REDUCTIONS), context.traits),
      },
    ];
  },
});
