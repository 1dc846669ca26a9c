/** @file Convolution and linear layers on subgroup matrices of 16x16x16 f16: the fast kernel of NVIDIA cards. */

import source from '../../shaders/gemm-matrix.wgsl';
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
import { defineKernel, fold, type KernelContext } from './kernel.ts';
import { packedDepth } from './packing.ts';

/** A matrix of 16 columns holds 8 values and their 8 gates. */
const GATE = 8;

/** Elements of the sum staged at a time, and the pitch of a staged row. */
const STEP = 32;
const PITCH = 40;

/** Matrices a subgroup and subgroups a workgroup, by rows and columns. */
interface Shape {
  readonly sm: number;
  readonly sn: number;
  readonly subgroupsM: number;
  readonly subgroupsN: number;
}

/** Shapes to choose from, the best first where they fill the card. */
const SHAPES: readonly Shape[] = [
  { sm: 4, sn: 5, subgroupsM: 2, subgroupsN: 2 },
  { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 2 },
  { sm: 4, sn: 2, subgroupsM: 2, subgroupsN: 2 },
  { sm: 2, sn: 2, subgroupsM: 2, subgroupsN: 2 },
];

/** Workgroups that keep a large card busy. */
const FULL = 128;

interface Tiling extends Shape {
  readonly rowsTile: number;
  readonly columnsTile: number;
  readonly groupsM: number;
  readonly groupsN: number;
  /** Vectors of 8 of the sum, and steps of 32. */
  readonly depth: number;
  readonly steps: number;
  readonly parts: PartialSums;
}

function storageBytes({ sm, sn, subgroupsM, subgroupsN }: Shape): number {
  return (subgroupsM * sm + subgroupsN * sn) * 16 * PITCH * 2 + subgroupsM * subgroupsN * sm * 1024;
}

/** The first shape that fills the card without wasting more than an eighth on padding, else the one that wastes least. */
function tile(node: GemmNode, context: KernelContext): Tiling {
  const size = gemmSize(node, context);
  const columns = packedWidth(size, GATE, 16);
  const depth = packedDepth(size.taps, size.sources, 8);
  const steps = Math.ceil(depth / STEP);
  const tilings = SHAPES.filter(
    (shape) => storageBytes(shape) <= context.traits.maxWorkgroupStorageBytes,
  ).map((shape) => {
    const rowsTile = shape.sm * shape.subgroupsM * 16;
    const columnsTile = shape.sn * shape.subgroupsN * 16;
    const groupsM = Math.ceil(size.rows / rowsTile);
    const groupsN = Math.ceil(columns / columnsTile);
    const work = (groupsM * rowsTile * groupsN * columnsTile) / (size.rows * columns);
    const splits = chooseSplits(groupsM * groupsN, steps, 8, 2 * FULL);
    return { ...shape, rowsTile, columnsTile, groupsM, groupsN, work, splits };
  });
  const best =
    tilings.find(
      ({ work, groupsM, groupsN, splits }) => work <= 1.125 && groupsM * groupsN * splits >= FULL,
    ) ?? tilings.reduce((a, b) => (b.work < a.work ? b : a));
  const { splits, groupsM, groupsN, rowsTile, columnsTile } = best;
  return {
    ...best,
    depth: depth / 8,
    steps,
    parts: { splits, rows: groupsM * rowsTile, columns: groupsN * columnsTile, gate: size.gated ? GATE : 0 },
  };
}

export const gemmMatrix = defineKernel({
  id: 'gemm-matrix',
  ops: ['conv2d', 'linear'],
  supports(node, context) {
    const { sources, columns } = gemmSize(node, context);
    const inputs = [
      node.inputs.x,
      node.inputs.weight,
      ...(node.kind === 'conv2d' && node.inputs.x2 !== undefined ? [node.inputs.x2] : []),
    ];
    return (
      context.traits.subgroupMatrix &&
      context.traits.subgroupSize === 32 &&
      context.traits.maxWorkgroupStorageBytes >= 32768 &&
      inputs.every((input) => context.dtypeOf(input) === 'f16') &&
      sources.every((channels) => channels % 8 === 0) &&
      columns >= 16
    );
  },
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tile(node, context).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'rows', sources, gate: gated ? GATE : 0, columns: 16, depth: STEP } };
  },
  launches(node, context) {
    const size = gemmSize(node, context);
    const tiling = tile(node, context);
    const { sm, sn, subgroupsM, subgroupsN, rowsTile, columnsTile, groupsM, groupsN, depth, steps, parts } =
      tiling;
    const threads = subgroupsM * subgroupsN * 32;
    return [
      {
        name: 'gemm-matrix',
        source,
        constants: {
          ...sourceConstants(node, context, 8),
          ...epilogueConstants(node, context),
          SM: sm,
          SN: sn,
          SUBGROUPS_M: subgroupsM,
          SUBGROUPS_N: subgroupsN,
          LOADS_X: (rowsTile * 4) / threads,
          LOADS_W: (columnsTile * 4) / threads,
          GROUPS_N: groupsN,
          DEPTH: depth,
          STEPS: steps,
          PACKED_ROWS: packedWidth(size, GATE, 16),
          PACKED_N: parts.columns,
          SPLIT: parts.splits > 1,
        },
        dims: { ...gemmDims(node, context), groupsM, splits: parts.splits, partRows: parts.rows },
        workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
      },
      ...reduceLaunches(node, context, parts),
    ];
  },
});
