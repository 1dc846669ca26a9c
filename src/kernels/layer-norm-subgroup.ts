/** @file Layer normalisation with a row a subgroup: where subgroups have one size, and rows fit their registers. */

import source from '../../shaders/layer-norm-subgroup.wgsl';
import { channelsOf, defineKernel, fold, rowsOf } from './kernel.ts';

/** Vectors of a row that a lane keeps: few numbers, so that a model's rows share pipelines. */
const PARTS = [5, 10, 16];

/** Threads of a workgroup. */
const THREADS = 128;

function partsFor(vectors: number, subgroupSize: number): number | undefined {
  return PARTS.find((parts) => vectors <= parts * subgroupSize);
}

export const layerNormSubgroup = defineKernel({
  id: 'layer-norm-subgroup',
  ops: ['layerNorm'],
  supports(node, context) {
    const { software, subgroupSize } = context.traits;
    const channels = channelsOf(context, node.output);
    return (
      !software &&
      subgroupSize >= 4 &&
      subgroupSize <= 64 &&
      channels % 4 === 0 &&
      partsFor(channels / 4, subgroupSize) !== undefined
    );
  },
  launches(node, context) {
    const { subgroupSize } = context.traits;
    const vectors = channelsOf(context, node.output) / 4;
    const rows = rowsOf(context, node.output);
    const rowsAtOnce = THREADS / subgroupSize;
    return [
      {
        name: 'layer-norm-subgroup',
        source,
        constants: {
          SUBGROUP_SIZE: subgroupSize,
          ROWS: rowsAtOnce,
          VECTORS: vectors,
          PARTS: partsFor(vectors, subgroupSize)!,
          EPS: { float: node.attrs.eps },
        },
        uniforms: ['VECTORS', 'EPS'],
        dims: { rows },
        workgroups: fold(Math.ceil(rows / rowsAtOnce), context.traits),
      },
    ];
  },
});
