/** @file What the kernels of matrix products share: convolution and linear layers as one product, and its arguments. */

import { activationCode } from './activation.ts';
import {
  channelsOf,
  rowsOf,
  weightTypeCode,
  type Argument,
  type CpuContext,
  type CpuLaunchContext,
  type NodesOf,
} from '../kernel.ts';

/** A node that the kernels of matrix products run. */
export type MatrixNode = NodesOf<'conv2d' | 'linear'>;

/** Output channels in a panel of a packed weight. */
export const PANEL_COLUMNS = 8;

/** The sizes of a node's product. */
export interface MatrixSize {
  /** Output pixels or tokens of the whole batch. */
  readonly rows: number;
  /** Output channels before gating: rows of the stored weight. */
  readonly columns: number;
  /** Channels of each source; 0 for an absent second one. */
  readonly channels: readonly [number, number];
  /** Height and width of the filter; 1 for linear layers. */
  readonly kernel: readonly [number, number];
  /** Whether half of the columns gate the other half. */
  readonly gated: boolean;
}

/** The sizes of a node's product. */
export function matrixSize(node: MatrixNode, context: CpuContext): MatrixSize {
  const [columns, , height = 1, width = 1] = context.shapeOf(node.inputs.weight);
  const x2 = node.kind === 'conv2d' ? node.inputs.x2 : undefined;
  return {
    rows: rowsOf(context, node.output),
    columns,
    channels: [channelsOf(context, node.inputs.x), x2 === undefined ? 0 : channelsOf(context, x2)],
    kernel: [height, width],
    gated: node.attrs.activation === 'geglu',
  };
}

/** `value` rounded up. */
export function align(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Channels as kernels step over them: those of each source padded to a multiple of 4. */
export function paddedChannels([first, second]: readonly [number, number]): number {
  return align(first, 4) + align(second, 4);
}

/** Panels of a packed weight; gated ones come in pairs. */
export function panelCount(columns: number, gated: boolean): number {
  return gated ? 2 * Math.ceil(columns / 2 / PANEL_COLUMNS) : Math.ceil(columns / PANEL_COLUMNS);
}

/** The arguments of wasm/lib/matrix-args.ts. */
export function matrixArguments(node: MatrixNode, context: CpuLaunchContext): Argument[] {
  const { rows, channels, gated } = matrixSize(node, context);
  const conv = node.kind === 'conv2d' ? node : undefined;
  const [, height = rows, width = 1] = conv ? context.shapeOf(conv.inputs.x) : [];
  const [, outHeight = rows, outWidth = 1] = conv ? context.shapeOf(conv.output) : [];
  const upsample = conv?.attrs.upsample === true;
  const [padTop, padLeft] = conv ? conv.attrs.padding : [0, 0];
  const { activation } = node.attrs;
  return [
    'y',
    'bias',
    conv ? 'rows' : 0,
    conv ? 'rowIndex' : 0,
    'residual',
    channelsOf(context, node.output),
    activation === 'geglu' ? 0 : activationCode(activation),
    Number(gated),
    'x',
    conv ? 'x2' : 0,
    ...channels,
    height,
    width,
    Number(upsample),
    padTop,
    padLeft,
    outHeight,
    outWidth,
    'weight',
    weightTypeCode(context.weightType('weight')),
  ];
}
