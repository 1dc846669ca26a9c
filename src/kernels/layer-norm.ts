/** @file Norms of the last axis: layer normalisation, the same modulated by batch row, and root mean square. */

import source from '../../shaders/layer-norm.wgsl';
import {
  channelsOf,
  defineKernel,
  fold,
  reductionConstants,
  rowsOf,
  type KernelContext,
  type NodesOf,
} from './kernel.ts';
import type { Constants } from './wgsl.ts';

type NormNode = NodesOf<'layerNorm' | 'adaLayerNorm' | 'rmsNorm'>;

/** Columns of the modulation, and where shift and scale begin in them, in vectors. */
function modulationConstants(node: NormNode, context: KernelContext, width: number): Constants {
  if (node.kind !== 'adaLayerNorm') return {};
  const columns = channelsOf(context, node.inputs.modulation);
  return { COLUMNS: columns / width, SHIFT: node.attrs.shift / width, SCALE: node.attrs.scale / width };
}

export const layerNorm = defineKernel({
  id: 'layer-norm',
  ops: ['layerNorm', 'adaLayerNorm', 'rmsNorm'],
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
          OP: node.kind,
          ...modulationConstants(node, context, width),
        },
        dims: { rows, imageRows: rows / context.shapeOf(node.output)[0] },
        workgroups: fold(Math.ceil(rows / reduction.REDUCTIONS), context.traits),
      },
    ];
  },
});
