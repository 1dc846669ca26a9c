/** @file Convolution and linear layers through workgroup memory: the kernel of GPUs without subgroup matrices. */

import type { KernelContext } from './kernel.ts';
import source from '../../shaders/gemm-tiled.wgsl';
import {
  chooseSplits,
  epilogueConstants,
  gemmDims,
  gemmPrice,
  gemmSize,
  packedWidth,
  partialBytes,
  reduceLaunches,
  sourceConstants,
  type GemmNode,
  type PartialSums,
} from './gemm.ts';
import { defineKernel, fold, isUnpacked } from './kernel.ts';
import { matrixShapeFor } from './matrix-shape.ts';
import { packedDepth } from './packing.ts';

/** Value and gate columns alternate every 64, the distance of a thread's two vectors. */
const GATE = 64;

interface Tiling {
  /** `128x64 k1`: rows and columns of a workgroup's tile, parts of the sum. */
  readonly name: string;
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

/** Whether matrices run most products and this kernel a few small ones (3 or 4 channels): one pipeline shall do for those. */
function isSeldom(node: GemmNode, { traits, dtypeOf }: KernelContext): boolean {
  return matrixShapeFor(traits, dtypeOf(node.inputs.x)) !== undefined;
}

/** Tilings of a node: first large tiles where they fill a GPU, small ones where they do not; then the others. */
function tilings(node: GemmNode, context: KernelContext): Tiling[] {
  const size = gemmSize(node, context);
  const columns = packedWidth(size, GATE, 8);
  const depth = packedDepth(size.taps, size.sources, 4) / 4;
  const steps = Math.ceil(depth / 4);
  const make = (rowsTile: number, columnsTile: number): Tiling => {
    const groupsM = Math.ceil(size.rows / rowsTile);
    const groupsN = Math.ceil(columns / columnsTile);
    const splits = chooseSplits(groupsM * groupsN, steps, 16, 192);
    return {
      name: `${rowsTile}x${columnsTile} k${splits}`,
      rowsTile,
      columnsTile,
      groupsM,
      groupsN,
      depth,
      steps,
      vectors: columns / 4,
      parts: { splits, rows: size.rows, columns, gate: size.gated ? GATE : 0 },
    };
  };
  const large = Math.ceil(size.rows / 128) * Math.ceil(columns / 128) >= 96;
  const wide = size.gated || (large && columns % 128 !== 64 && columns > 64);
  const narrow = size.gated ? 128 : 64;
  const first = isSeldom(node, context) ? make(128, narrow) : make(large ? 128 : 64, wide ? 128 : 64);
  const all = [64, 128].flatMap((rows) => (size.gated ? [128] : [64, 128]).map((width) => make(rows, width)));
  return [first, ...all.filter(({ name }) => name !== first.name)];
}

function tile(node: GemmNode, context: KernelContext): Tiling {
  const all = tilings(node, context);
  return all.find(({ name }) => name === context.variant) ?? all[0];
}

export const gemmTiled = defineKernel({
  id: 'gemm-tiled',
  ops: ['conv2d', 'linear'],
  supports: (_node, { traits }) =>
    !traits.software && traits.maxInvocationsPerWorkgroup >= 256 && traits.maxWorkgroupStorageBytes >= 16384,
  variants: (node, context) => tilings(node, context).map(({ name }) => name),
  price(node, context) {
    const tiling = tile(node, context);
    return gemmPrice(node, context, tiling, tiling.parts, { arithmetic: 'vector', threads: 256 });
  },
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tile(node, context).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'blocks', sources, gate: gated ? GATE : 0, columns: 8 } };
  },
  launches(node, context) {
    const tiling = tile(node, context);
    const { rowsTile, columnsTile, groupsM, groupsN, depth, steps, vectors, parts } = tiling;
    const sizes = {
      ...sourceConstants(node, context, 4),
      ...epilogueConstants(node, context),
      GROUPS_N: groupsN,
      DEPTH: depth,
      STEPS: steps,
      BLOCKS_N: vectors,
      PACKED_N: parts.columns,
    };
    return [
      {
        name: 'gemm-tiled',
        source,
        constants: {
          ...sizes,
          UNPACK: isUnpacked(context, node, node.inputs.weight),
          ROWS_TILE: rowsTile,
          COLUMNS_TILE: columnsTile,
          ROW_VECTORS: rowsTile / 16,
          COLUMNS: columnsTile / 64,
          LOADS_X: rowsTile / 64,
          LOADS_W: columnsTile / 64,
          SPLIT: parts.splits > 1,
        },
        ...(isSeldom(node, context) && { uniforms: Object.keys(sizes) }),
        dims: { ...gemmDims(node, context), groupsM, splits: parts.splits, partRows: parts.rows },
        workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
      },
      ...reduceLaunches(node, context, parts),
    ];
  },
});
