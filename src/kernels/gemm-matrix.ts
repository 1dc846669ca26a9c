/** @file Convolution and linear layers on subgroup matrices of 16x16x16 f16: the fast kernel of NVIDIA cards. */

import source from '../../shaders/gemm-matrix.wgsl';
import reduceSource from '../../shaders/gemm-matrix-reduce.wgsl';
import {
  gemmDims,
  gemmPrice,
  gemmSize,
  packedWidth,
  partialBytes,
  type GemmNode,
  type PartialSums,
} from './gemm.ts';
import { inputsOf } from '../graph/ops.ts';
import { channelsOf, defineKernel, fold, type KernelContext, type Launch } from './kernel.ts';
import { GATE, STEP, tilingOf, tilings, type MatrixElements, type Tiling } from './gemm-matrix-tiling.ts';

export const gemmMatrix = defineKernel({
  id: 'gemm-matrix',
  ops: ['conv2d', 'linear'],
  supports(node, context) {
    const { sources } = gemmSize(node, context);
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
      channelsOf(context, node.output) % 4 === 0
    );
  },
  variants: (node, context) => tilings(node, context).map(({ name }) => name),
  price(node, context) {
    const tiling = tilingOf(node, context);
    const threads = 32 * tiling.subgroupsM * tiling.subgroupsN;
    return gemmPrice(node, context, tiling, tiling.parts, { arithmetic: 'matrix', threads });
  },
  inPlace: () => 'residual',
  scratchBytes: (node, context) => partialBytes(tilingOf(node, context).parts),
  packing(node, context) {
    const { sources, gated } = gemmSize(node, context);
    return { weight: { kind: 'rows', sources, gate: gated ? GATE : 0, columns: 16, depth: STEP } };
  },
  launches: (node, context) => matrixLaunches(node, context, tilingOf(node, context), 'f16'),
});

/**
 * The launches of a product in tiles.
 * @param elements what is multiplied; for `i8`, quantize-rows.wgsl has filled the first two scratch ranges, and the sum is
 * not split
 */
export function matrixLaunches(
  node: GemmNode,
  context: KernelContext,
  tiling: Tiling,
  elements: MatrixElements,
): Launch[] {
  const size = gemmSize(node, context);
  const { sm, sn, subgroupsM, subgroupsN, depth, rowsTile, columnsTile, groupsM, groupsN, steps, parts } =
    tiling;
  const int8 = elements === 'i8';
  const whole = int8 || size.sources.every((channels) => channels % (depth * 16) === 0);
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
        DEPTH: depth,
        WHOLE: whole,
        TWO_SOURCES: whole && size.sources.length === 2,
        MASKED: whole && conv,
        LOADS_X: (rowsTile * 2 * depth) / threads,
        LOADS_W: Math.ceil((columnsTile * 2 * depth) / threads),
        FINISHED: size.gated && !split ? sn : 2 * sn,
        RAGGED: (columnsTile * 2 * depth) % threads !== 0,
        CONV: conv,
        SPLIT: split,
        INT8: int8,
        ...(split ? { GATED: false } : finishConstants(node)),
      },
      dims: {
        ...sourceDims(node, context, elements),
        ...epilogueDims(node, context, parts),
        groupsM,
        groupsN,
        steps,
        weightRows: packedWidth(size, GATE, 16),
      },
      aliases: { ...unreadInputs(node, context), ...(int8 && { x: 'scratch0' }) },
      workgroups: fold(groupsM * groupsN * parts.splits, context.traits),
    },
    ...(split ? [reduceLaunch(node, context, tiling)] : []),
  ];
}

/** Constants of lib/gemm-finish.wgsl. */
function finishConstants({ attrs }: GemmNode): { GATED: boolean; ACTIVATION: string } {
  const gated = attrs.activation === 'geglu';
  return { GATED: gated, ACTIVATION: gated ? 'none' : attrs.activation };
}

/** The launch that adds partial sums and finishes them. */
function reduceLaunch(node: GemmNode, context: KernelContext, { parts }: Tiling): Launch {
  const { rows, imageRows } = gemmDims(node, context);
  const vectors = channelsOf(context, node.output) / 4;
  return {
    name: 'gemm-matrix-reduce',
    source: reduceSource,
    constants: finishConstants(node),
    dims: { rows, imageRows, ...epilogueDims(node, context, parts) },
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

/** Members of `Dims` that say where a row reads its input. */
function sourceDims(
  node: GemmNode,
  context: KernelContext,
  elements: MatrixElements,
): Record<string, number> {
  const inVector = elements === 'i8' ? 16 : 8;
  const [v1, v2 = 0] = gemmSize(node, context).sources.map((channels) => channels / inVector);
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
