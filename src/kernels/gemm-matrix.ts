/** @file Convolution and linear layers on subgroup matrices of 16x16x16 f16: the fast kernel of NVIDIA cards. */

import source from '../../shaders/gemm-matrix.wgsl';
import {
  chooseSplits,
  gemmDims,
  gemmSize,
  packedWidth,
  partialBytes,
  reduceLaunches,
  type GemmNode,
  type PartialSums,
} from './gemm.ts';
import { inputsOf } from '../graph/ops.ts';
import { channelsOf, defineKernel, fold, type KernelContext } from './kernel.ts';
import { packedDepth } from './packing.ts';

/** A matrix of 16 columns holds 8 values and their 8 gates. */
const GATE = 8;

/** Elements of the sum staged at a time, and bytes between staged rows. */
const STEP = 32;
const PITCH_BYTES = 80;

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
  /** `4x5 2x2 k1`: matrices a subgroup, subgroups, parts of the sum. */
  readonly name: string;
  /** Elements of the padded result over those of the result. */
  readonly work: number;
  readonly rowsTile: number;
  readonly columnsTile: number;
  readonly groupsM: number;
  readonly groupsN: number;
  readonly steps: number;
  readonly parts: PartialSums;
}

function storageBytes({ sm, sn, subgroupsM, subgroupsN }: Shape): number {
  const staged = (subgroupsM * sm + subgroupsN * sn) * 16 * PITCH_BYTES;
  return Math.max(staged, subgroupsM * subgroupsN * 16 * (sn * 4 + 1) * 16);
}

/**
 * Tilings of a node: first the one that is taken unmeasured (the first shape that fills the card without wasting more
 * than an eighth on padding, else the one that wastes least), then what autotuning may try.
 */
function tilings(node: GemmNode, context: KernelContext): Tiling[] {
  const size = gemmSize(node, context);
  const columns = packedWidth(size, GATE, 16);
  const steps = Math.ceil(packedDepth(size.taps, size.sources, 8) / STEP);
  const make = (shape: Shape, wanted: number): Tiling => {
    const rowsTile = shape.sm * shape.subgroupsM * 16;
    const columnsTile = shape.sn * shape.subgroupsN * 16;
    const groupsM = Math.ceil(size.rows / rowsTile);
    const groupsN = Math.ceil(columns / columnsTile);
    const splits = chooseSplits(groupsM * groupsN, steps, 8, wanted);
    return {
      ...shape,
      name: `${shape.sm}x${shape.sn} ${shape.subgroupsM}x${shape.subgroupsN} k${splits}`,
      rowsTile,
      columnsTile,
      groupsM,
      groupsN,
      steps,
      work: (groupsM * rowsTile * groupsN * columnsTile) / (size.rows * columns),
      parts: {
        splits,
        rows: groupsM * rowsTile,
        columns: groupsN * columnsTile,
        gate: size.gated ? GATE : 0,
      },
    };
  };
  const shapes = SHAPES.filter((shape) => storageBytes(shape) <= context.traits.maxWorkgroupStorageBytes);
  const usual = shapes.map((shape) => make(shape, 2 * FULL));
  const first =
    usual.find(
      ({ work, groupsM, groupsN, parts }) => work <= 1.125 && groupsM * groupsN * parts.splits >= FULL,
    ) ?? usual.reduce((a, b) => (b.work < a.work ? b : a));
  const all = [first, ...usual, ...[FULL, 4 * FULL].flatMap((wanted) => shapes.map((s) => make(s, wanted)))];
  return [...new Map(all.map((tiling) => [tiling.name, tiling])).values()];
}

function tile(node: GemmNode, context: KernelContext): Tiling {
  const all = tilings(node, context);
  return all.find(({ name }) => name === context.variant) ?? all[0];
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
      columns >= 16 &&
      channelsOf(context, node.output) % 4 === 0
    );
  },
  variants: (node, context) => tilings(node, context).map(({ name }) => name),
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tile(node, context).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'rows', sources, gate: gated ? GATE : 0, columns: 16, depth: STEP } };
  },
  launches(node, context) {
    const size = gemmSize(node, context);
    const tiling = tile(node, context);
    const { sm, sn, subgroupsM, subgroupsN, rowsTile, columnsTile, groupsM, groupsN, steps, parts } = tiling;
    const threads = subgroupsM * subgroupsN * 32;
    const split = parts.splits > 1;
    const conv = node.kind === 'conv2d';
    return [
      {
        name: 'gemm-matrix',
        source,
        constants: {
          SM: sm,
          SN: sn,
          SUBGROUPS_M: subgroupsM,
          SUBGROUPS_N: subgroupsN,
          LOADS_X: (rowsTile * 4) / threads,
          LOADS_W: (columnsTile * 4) / threads,
          CONV: conv,
          SPLIT: split,
          GATED: size.gated && !split,
          ACTIVATION: size.gated || split ? 'none' : node.attrs.activation,
        },
        dims: {
          ...sourceDims(node, context),
          ...epilogueDims(node, context),
          groupsM,
          groupsN,
          steps,
          splits: parts.splits,
          partRows: parts.rows,
          partColumns: parts.columns,
          weightRows: packedWidth(size, GATE, 16),
        },
        aliases: unreadInputs(node, context),
        workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
      },
      ...reduceLaunches(node, context, parts),
    ];
  },
});

/** Members of `Dims` that say how a filter moves, for linear layers: their sum has one tap. */
const NO_FILTER = {
  height: 0,
  width: 0,
  outHeight: 0,
  outWidth: 0,
  kernelHeight: 1,
  kernelWidth: 1,
  stride: 1,
  padTop: 0,
  padLeft: 0,
  upsample: 0,
};

/** Members of `Dims` that say where a row reads its input. */
function sourceDims(node: GemmNode, context: KernelContext): Record<string, number> {
  const [v1, v2 = 0] = gemmSize(node, context).sources.map((channels) => channels / 8);
  const common = { ...gemmDims(node, context), v1, v2 };
  if (node.kind === 'linear') return { ...common, ...NO_FILTER };
  const [, , kernelHeight, kernelWidth] = context.shapeOf(node.inputs.weight);
  const { stride, padding, upsample } = node.attrs;
  const [padTop, padLeft] = padding;
  return { ...common, kernelHeight, kernelWidth, stride, padTop, padLeft, upsample: upsample ? 1 : 0 };
}

/** Members of `Dims` that say what the epilogue adds: 0 is nothing, for the others see the shader. */
function epilogueDims(node: GemmNode, context: KernelContext): Record<string, number> {
  const { bias, residual } = node.inputs;
  const rows = node.kind === 'conv2d' && node.inputs.rows !== undefined;
  const indexed = node.kind === 'conv2d' && node.inputs.rowIndex !== undefined;
  return {
    columns: channelsOf(context, node.output),
    biased: bias === undefined ? 0 : 1,
    rowed: !rows ? 0 : indexed ? 2 : 1,
    added: residual === undefined ? 0 : context.inPlace === 'residual' ? 2 : 1,
  };
}

/** What is bound where the shader declares an input that a node lacks, or that is the output; it is never read. */
function unreadInputs(node: GemmNode, context: KernelContext): Record<string, string> {
  const read = new Set(inputsOf(node).map(([name]) => name));
  if (context.inPlace !== undefined) read.delete(context.inPlace);
  const unread = ['x2', 'bias', 'rows', 'rowIndex', 'residual'].filter((name) => !read.has(name));
  return Object.fromEntries(unread.map((name) => [name, 'weight']));
}
