/** @file Convolution and linear layers on subgroup matrices: the fast kernel of GPUs that have them. */

import source from '../../shaders/gemm-matrix.wgsl';
import reduceSource from '../../shaders/gemm-matrix-reduce.wgsl';
import {
  gemmDims,
  gemmSize,
  goesApart,
  packedWidth,
  partialBytes,
  type GemmNode,
  type PartialSums,
} from './gemm.ts';
import type { Activation } from '../graph/op.ts';
import { inputsOf } from '../graph/ops.ts';
import { channelsOf, defineKernel, fold, type KernelContext, type Launch } from './kernel.ts';
import { tilingInPlan } from './gemm-matrix-choice.ts';
import {
  gateOf,
  isActivated,
  isNarrow,
  STEP,
  tilingOf,
  tilingPrice,
  tilings,
  variantNames,
  type Tiling,
} from './gemm-matrix-tiling.ts';
import type { Constants } from './wgsl.ts';
import { inVector, MATRIX_LANES, matrixConstants, matrixShapeFor, type MatrixShape } from './matrix-shape.ts';

export const gemmMatrix = defineKernel({
  id: 'gemm-matrix',
  ops: ['conv2d', 'linear'],
  supports: (node, context) => suitableMatrix(node, context) !== undefined,
  variants(node, context) {
    const names = variantNames(tilings(node, context, matrixOf(node, context)!));
    const chosen = tilingInPlan(node, context, suitableMatrix)?.name;
    return chosen === undefined ? names : [...new Set([chosen, ...names])];
  },
  price(node, context) {
    const matrix = matrixOf(node, context)!;
    return tilingPrice(node, context, matrix, tilingOf(node, context, matrix));
  },
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tilingOf(node, context, matrixOf(node, context)!).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    const gate = gated ? gateOf(matrixOf(node, context)!) : 0;
    return { weight: { kind: 'rows', sources, gate, columns: 16, depth: STEP } };
  },
  launches(node, context) {
    const matrix = matrixOf(node, context)!;
    return matrixLaunches(node, context, tilingOf(node, context, matrix), matrix);
  },
});

/** Whether a node adds nothing to its product but a bias: all that is done to columns in no multiple of 4. */
function addsNothing(node: GemmNode): boolean {
  const { residual } = node.inputs;
  const rows = node.kind === 'conv2d' ? node.inputs.rows : undefined;
  return residual === undefined && rows === undefined && node.attrs.activation !== 'geglu';
}

/** The matrices that a node is multiplied by; undefined where it is none of this kernel's. */
function suitableMatrix(node: GemmNode, context: KernelContext): MatrixShape | undefined {
  const { sources } = gemmSize(node, context);
  const inputs = [
    node.inputs.x,
    node.inputs.weight,
    ...(node.kind === 'conv2d' && node.inputs.x2 !== undefined ? [node.inputs.x2] : []),
  ];
  const suits =
    context.traits.maxWorkgroupStorageBytes >= 32768 &&
    inputs.every((input) => context.dtypeOf(input) === context.dtypeOf(node.inputs.x)) &&
    sources.every((channels) => channels % 8 === 0) &&
    (!isNarrow(node, context) || addsNothing(node));
  return suits ? matrixOf(node, context) : undefined;
}

/** The matrices that a node's elements are multiplied by; undefined where the device has none. */
function matrixOf(node: GemmNode, context: KernelContext): MatrixShape | undefined {
  return matrixShapeFor(context.traits, context.dtypeOf(node.inputs.x));
}

/**
 * The launches of a product in tiles.
 * @param matrix what multiplies; for bytes, quantize-rows.wgsl has filled the first two scratch ranges, and the sum is not split
 */
export function matrixLaunches(
  node: GemmNode,
  context: KernelContext,
  tiling: Tiling,
  matrix: MatrixShape,
): Launch[] {
  const size = gemmSize(node, context);
  const {
    sm,
    sn,
    subgroupsM,
    subgroupsN,
    groups,
    depth,
    rowsTile,
    columnsTile,
    groupsM,
    groupsN,
    steps,
    parts,
  } = tiling;
  const int8 = matrix.elements === 'i8';
  const dtype = context.dtypeOf(node.inputs.x);
  const whole = int8 || size.sources.every((channels) => channels % (depth * matrix.depth) === 0);
  const threads = groups * subgroupsM * subgroupsN * MATRIX_LANES;
  // Vectors of a row that are staged at a time.
  const part = (depth * matrix.depth) / inVector(matrix, dtype);
  const apart = goesApart(parts);
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
        GROUPS: groups,
        GROUPED: groups > 1,
        DEPTH: depth,
        SHARE: depth / groups,
        WHOLE: whole,
        TWO_SOURCES: whole && size.sources.length === 2,
        MASKED: whole && conv,
        PART: part,
        LOADS_X: (rowsTile * part) / threads,
        LOADS_W: Math.ceil((columnsTile * part) / threads),
        RAGGED: (columnsTile * part) % threads !== 0,
        CONV: conv,
        APART: apart,
        ...matrixConstants(matrix, dtype, context.traits),
        ...(apart
          ? { GATED: false, OCTETS: false }
          : {
              ...finishConstants(node, context),
              ...finishedConstants(node, context, tiling, matrix),
              ACTIVATION: isActivated(node) ? node.attrs.activation : 'none',
            }),
      },
      dims: {
        ...sourceDims(node, context, inVector(matrix, dtype)),
        ...epilogueDims(node, context, parts),
        groupsM,
        groupsN,
        steps,
        weightRows: packedWidth(size, gateOf(matrix), 16),
      },
      aliases: { ...unreadInputs(node, context), ...(int8 && { x: 'scratch0' }) },
      workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
    },
    ...(apart ? [reduceLaunch(node, context, tiling, gateOf(matrix))] : []),
  ];
}

/** Constants of lib/gemm-finish.wgsl. */
function finishConstants(node: GemmNode, context: KernelContext): Constants {
  return {
    GATED: node.attrs.activation === 'geglu',
    NARROW: isNarrow(node, context),
    // Linear layers add no vector a row of the batch; less code is loaded sooner.
    ROWED: node.kind === 'conv2d' && !isNarrow(node, context),
    OCTETS: false,
  };
}

/** Constants that say how a lane finishes sums: in vectors of 8 columns where all is f16, else of 4. */
function finishedConstants(
  node: GemmNode,
  context: KernelContext,
  { sn, groups }: Tiling,
  matrix: MatrixShape,
): Constants {
  const gated = node.attrs.activation === 'geglu';
  const added = [
    node.output,
    ...inputsOf(node)
      .filter(([name]) => ['bias', 'rows', 'residual'].includes(name))
      .map(([, value]) => value),
  ];
  const octets =
    channelsOf(context, node.output) % 8 === 0 && added.every((value) => context.dtypeOf(value) === 'f16');
  const items = (matrix.rows * sn * matrix.columns) / (gated ? 2 : 1) / (octets ? 8 : 4);
  const finished = items / MATRIX_LANES / groups;
  return {
    OCTETS: octets,
    HALVES: octets ? 2 : 1,
    FINISHED: Math.ceil(finished),
    UNEVEN: !Number.isInteger(finished),
  };
}

/** Activations as `Dims` names them, by number. */
const ACTIVATIONS: readonly string[] = [
  'none',
  'relu',
  'silu',
  'gelu',
  'quick_gelu',
  'gelu_tanh',
  'tanh',
] satisfies Activation[];

/** The launch that adds partial sums and finishes them. */
function reduceLaunch(node: GemmNode, context: KernelContext, { parts }: Tiling, gate: number): Launch {
  const { rows, imageRows } = gemmDims(node, context);
  const vectors = channelsOf(context, node.output) / 4;
  return {
    name: 'gemm-matrix-reduce',
    source: reduceSource,
    constants: { ...finishConstants(node, context), ROWED: true, ACTIVATION: 'any', GATE: gate },
    dims: {
      rows,
      imageRows,
      activation: isActivated(node) ? ACTIVATIONS.indexOf(node.attrs.activation) : 0,
      ...epilogueDims(node, context, parts),
    },
    aliases: unreadInputs(node, context),
    workgroups: fold(Math.ceil((rows * vectors) / 64), context.traits),
  };
}

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

/** Members of `Dims` that say where a row reads its input, in vectors of so many channels. */
function sourceDims(node: GemmNode, context: KernelContext, channelsIn: number): Record<string, number> {
  const [v1, v2 = 0] = gemmSize(node, context).sources.map((channels) => channels / channelsIn);
  const common = { ...gemmDims(node, context), v1, v2 };
  if (node.kind === 'linear') return { ...common, ...NO_FILTER };
  const [, , kernelHeight, kernelWidth] = context.shapeOf(node.inputs.weight);
  const { stride, padding, upsample } = node.attrs;
  const [padTop, padLeft] = padding;
  return { ...common, kernelHeight, kernelWidth, stride, padTop, padLeft, upsample: upsample ? 1 : 0 };
}

/** Members of `Dims` that say where partial sums are and what the epilogue adds: 0 is nothing, for the others see lib/gemm-finish.wgsl. */
function epilogueDims(node: GemmNode, context: KernelContext, parts: PartialSums): Record<string, number> {
  const { bias, residual } = node.inputs;
  const rows = node.kind === 'conv2d' && node.inputs.rows !== undefined;
  const indexed = node.kind === 'conv2d' && node.inputs.rowIndex !== undefined;
  return {
    columns: channelsOf(context, node.output),
    splits: parts.splits,
    partRows: parts.rows,
    partColumns: parts.columns,
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
