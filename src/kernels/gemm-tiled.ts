/** @file Convolution and linear layers through workgroup memory: the kernel of GPUs without subgroup matrices. */

import type { KernelContext } from './kernel.ts';
import source from '../../shaders/gemm-tiled.wgsl';
import {
  chooseSplits,
  epilogueConstants,
  gemmDims,
  gemmSize,
  packedWidth,
  partialBytes,
  reduceLaunches,
  sourceConstants,
  type GemmNode,
  type PartialSums,
} from './gemm.ts';
import { defineKernel, fold, isUnpacked } from './kernel.ts';
import { packedDepth } from './packing.ts';

/** Value and gate columns alternate every 64, the distance of a thread's two vectors. */
const GATE = 64;

interface Tiling {
  readonly rowsTile: number;
  readonly columnsTile: number;
  readonly groupsM: number;
  readonly groupsN: number;
  /** Steps of 4 of the sum, and of 16. */
  readonly depth: number;
  readonly steps: number;
  readonly vectors: number;
  readonly parts: PartialSums;
}

/** Large tiles where they fill a GPU, small ones and split sums where they do not. */
function tile(node: GemmNode, context: KernelContext): Tiling {
  const size = gemmSize(node, context);
  const columns = packedWidth(size, GATE, 8);
  const depth = packedDepth(size.taps, size.sources, 4) / 4;
  const steps = Math.ceil(depth / 4);
  const large = Math.ceil(size.rows / 128) * Math.ceil(columns / 128) >= 96;
  const rowsTile = large ? 128 : 64;
  const columnsTile = size.gated || (large && columns % 128 !== 64 && columns > 64) ? 128 : 64;
  const groupsM = Math.ceil(size.rows / rowsTile);
  const groupsN = Math.ceil(columns / columnsTile);
  const splits = chooseSplits(groupsM * groupsN, steps, 16, 192);
  return {
    rowsTile,
    columnsTile,
    groupsM,
    groupsN,
    depth,
    steps,
    vectors: columns / 4,
    parts: { splits, rows: size.rows, columns, gate: size.gated ? GATE : 0 },
  };
}

export const gemmTiled = defineKernel({
  id: 'gemm-tiled',
  ops: ['conv2d', 'linear'],
  supports: (_node, { traits }) =>
    !traits.software && traits.maxInvocationsPerWorkgroup >= 256 && traits.maxWorkgroupStorageBytes >= 16384,
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tile(node, context).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'blocks', sources, gate: gated ? GATE : 0, columns: 8 } };
  },
  launches(node, context) {
    const tiling = tile(node, context);
    const { rowsTile, columnsTile, groupsM, groupsN, depth, steps, vectors, parts } = tiling;
    return [
      {
        name: 'gemm-tiled',
        source,
        constants: {
          ...sourceConstants(node, context, 4),
          ...epilogueConstants(node, context),
          UNPACK: isUnpacked(context, node, node.inputs.weight),
          ROWS_TILE: rowsTile,
          COLUMNS_TILE: columnsTile,
          ROW_VECTORS: rowsTile / 16,
          COLUMNS: columnsTile / 64,
          LOADS_X: rowsTile / 64,
          LOADS_W: columnsTile / 64,
          GROUPS_N: groupsN,
          DEPTH: depth,
          STEPS: steps,
          BLOCKS_N: vectors,
          SPLIT: parts.splits > 1,
          PACKED_N: parts.columns,
        },
        dims: { ...gemmDims(node, context), groupsM, splits: parts.splits, partRows: parts.rows },
        workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
      },
      ...reduceLaunches(node, context, parts),
    ];
  },
});
