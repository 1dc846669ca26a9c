/**
 * @file What the GEMM kernels share: convolution and linear layers as one implicit matrix product, and its epilogue.
 *
 * Rows are output pixels or tokens, columns output channels, the sum runs over (ky, kx, input channel).
 */

import reduceSource from '../../shaders/gemm-reduce.wgsl';
import { channelsOf, foldLanes, rowsOf, type KernelContext, type Launch, type NodesOf } from './kernel.ts';
import { packedColumns } from './packing.ts';
import type { Price } from './cost.ts';
import type { Constants } from './wgsl.ts';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';

/** A node that the GEMM kernels run. */
export type GemmNode = NodesOf<'conv2d' | 'linear'>;

/** The sizes of a node's product. */
export interface GemmSize {
  readonly rows: number;
  /** Output channels before gating: rows of the stored weight. */
  readonly columns: number;
  /** Channels of each source. */
  readonly sources: readonly number[];
  /** Positions of the filter; 1 for linear layers. */
  readonly taps: number;
  /** Whether half of the columns gate the other half. */
  readonly gated: boolean;
}

/** The sizes of a node's product. */
export function gemmSize(node: GemmNode, context: KernelContext): GemmSize {
  const [columns, , ...kernel] = context.shapeOf(node.inputs.weight);
  const second = node.kind === 'conv2d' ? node.inputs.x2 : undefined;
  return {
    rows: rowsOf(context, node.output),
    columns,
    sources: [node.inputs.x, ...(second === undefined ? [] : [second])].map((source) =>
      channelsOf(context, source),
    ),
    taps: kernel.reduce((a, b) => a * b, 1),
    gated: node.attrs.activation === 'geglu',
  };
}

/** Constants of lib/gemm-source.wgsl and of the loads, for vectors of `width` channels. */
export function sourceConstants(node: GemmNode, context: KernelContext, width: number): Constants {
  const { sources, taps } = gemmSize(node, context);
  const [c1, c2 = 0] = sources;
  const common = {
    TWO_SOURCES: sources.length === 2,
    WIDE_X: sources.every((channels) => channels % width === 0),
    C1: c1,
    C2: c2,
    V1: Math.ceil(c1 / width),
    V2: Math.ceil(c2 / width),
    TAPS: taps,
    UPSAMPLE: node.kind === 'conv2d' && node.attrs.upsample,
    CONV: node.kind === 'conv2d',
  };
  if (node.kind === 'linear') return common;
  const [top, left] = node.attrs.padding;
  return {
    ...common,
    KERNEL_WIDTH: context.shapeOf(node.inputs.weight)[3],
    STRIDE: node.attrs.stride,
    PAD_TOP: top,
    PAD_LEFT: left,
  };
}

/** Members of `Dims` that the source and the epilogue read. */
export function gemmDims(node: GemmNode, context: KernelContext): Record<string, number> {
  const rows = rowsOf(context, node.output);
  if (node.kind === 'linear') return { rows, imageRows: rows };
  const [, height, width] = context.shapeOf(node.inputs.x);
  const [, outHeight, outWidth] = context.shapeOf(node.output);
  return { rows, imageRows: outHeight * outWidth, height, width, outHeight, outWidth };
}

/** Constants of lib/epilogue.wgsl. */
export function epilogueConstants(node: GemmNode, context: KernelContext): Constants {
  const columns = channelsOf(context, node.output);
  const gated = node.attrs.activation === 'geglu';
  const rows = node.kind === 'conv2d' && node.inputs.rows !== undefined;
  return {
    N: columns,
    WIDE_Y: columns % 4 === 0,
    BIAS: node.inputs.bias !== undefined,
    ROWS: !rows ? 'none' : node.inputs.rowIndex === undefined ? 'own' : 'index',
    RESIDUAL:
      node.inputs.residual === undefined ? 'none' : context.inPlace === 'residual' ? 'in_place' : 'separate',
    ACTIVATION: gated ? 'none' : node.attrs.activation,
    GATED: gated,
  };
}

/** How a product whose sum is split keeps its partial sums. */
export interface PartialSums {
  readonly splits: number;
  /** Rows and columns of each partial result in scratch. */
  readonly rows: number;
  readonly columns: number;
  /** Columns after which value and gate columns alternate; 0 if not gated. */
  readonly gate: number;
  /** Whether a sum in one part is finished by a launch of its own, too. */
  readonly apart?: boolean;
}

/** Whether sums go through scratch, to be added and finished by a launch of their own. */
export function goesApart({ splits, apart }: PartialSums): boolean {
  return splits > 1 || apart === true;
}

/** The work of a product in tiles. */
export function gemmPrice(
  node: GemmNode,
  context: KernelContext,
  tiles: {
    readonly rowsTile: number;
    readonly columnsTile: number;
    readonly groupsM: number;
    readonly groupsN: number;
  },
  parts: PartialSums,
  how: Pick<Price, 'arithmetic' | 'threads'>,
): Price {
  const { sources, taps } = gemmSize(node, context);
  const depth = taps * sources.reduce((a, b) => a + b, 0);
  const { rowsTile, columnsTile, groupsM, groupsN } = tiles;
  const groups = groupsM * groupsN;
  const elementBytes = DEVICE_DTYPE_BYTES[context.dtypeOf(node.inputs.weight)];
  const [partial = 0] = partialBytes(parts);
  return {
    ...how,
    flops: 2 * groups * rowsTile * columnsTile * depth,
    bytes: groups * (rowsTile + columnsTile) * depth * elementBytes + 2 * partial,
    workgroups: groups * parts.splits,
    launches: partial > 0 ? 2 : 1,
  };
}

/** Bytes of the scratch range for sums; none if none is needed. */
export function partialBytes(parts: PartialSums): number[] {
  return goesApart(parts) ? [parts.splits * parts.rows * parts.columns * 4] : [];
}

/** The launch that adds partial sums and applies the epilogue; none if the sum is not split. */
export function reduceLaunches(node: GemmNode, context: KernelContext, parts: PartialSums): Launch[] {
  if (parts.splits === 1) return [];
  const { rows, imageRows } = gemmDims(node, context);
  const vectors = Math.ceil(channelsOf(context, node.output) / 4);
  return [
    {
      name: 'gemm-reduce',
      source: reduceSource,
      constants: {
        ...epilogueConstants(node, context),
        PACKED_N: parts.columns,
        VECTORS_N: vectors,
        GATE: Math.max(parts.gate, 1),
      },
      dims: { rows, imageRows, splits: parts.splits, partRows: parts.rows },
      workgroups: foldLanes(rows * vectors, context.traits),
    },
  ];
}

/** Columns of a packed weight, gates included. */
export function packedWidth({ columns, gated }: GemmSize, gate: number, multiple: number): number {
  return packedColumns(columns, gated ? gate : 0, multiple);
}

/**
 * Into how many parts a sum should be split so that about `wanted` workgroups have work, each at least `minSteps` steps.
 */
export function chooseSplits(workgroups: number, steps: number, minSteps: number, wanted: number): number {
  return Math.max(1, Math.min(Math.floor(wanted / workgroups), Math.floor(steps / minSteps), 16));
}
