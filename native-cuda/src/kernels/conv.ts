/** @file Convolutions on tensor cores, as implicit matrix products; a doubled image is read as four 2x2 convolutions. */

import { DEVICE_DTYPE_BYTES } from 'calotype/backend-kit';
import {
  channelsOf,
  defineCudaKernel,
  elementCount,
  elementOf,
  isNarrow,
  rowsOf,
  type CudaContext,
  type NodesOf,
} from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { FILTERS, PADDED_FILTERS, PHASES, VECTOR_CHANNELS } from './packing.ts';
import { padChannelsLaunch } from './rows.ts';
import { OVERLAP } from './tensor-core.ts';
import { CHOSEN_TILE, partialBytes, tileArguments, tileOf, type MatrixSizes } from './tiles.ts';

export const convLaunch = defineLaunch('conv', {
  x: 'pointer',
  x2: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  rows: 'pointer',
  rowIndex: 'pointer',
  residual: 'pointer',
  out: 'pointer',
  partials: 'pointer',
  counters: 'pointer',
  partialBytes: 'i64',
  batch: 'i32',
  height: 'i32',
  width: 'i32',
  channels: 'i32',
  channels2: 'i32',
  outChannels: 'i32',
  kernelHeight: 'i32',
  kernelWidth: 'i32',
  stride: 'i32',
  padTop: 'i32',
  padLeft: 'i32',
  padBottom: 'i32',
  padRight: 'i32',
  upsample: 'i32',
  activation: 'i32',
  element: 'i32',
  flags: 'i32',
  config: 'i32',
  parts: 'i32',
});

/** Of the copy engine. */
export const MAX_STRIDE = 8;

export function sourceChannels({ inputs }: NodesOf<'conv2d'>, context: CudaContext): [number, number] {
  return [channelsOf(context, inputs.x), inputs.x2 === undefined ? 0 : channelsOf(context, inputs.x2)];
}

/** As a matrix product: a doubled image is four, of 2x2 taps each, over the pixels it has. */
function sizesOf(node: NodesOf<'conv2d'>, context: CudaContext): MatrixSizes {
  const { upsample } = node.attrs;
  const [n, , kernelHeight, kernelWidth] = context.shapeOf(node.inputs.weight);
  const [channels, channels2] = sourceChannels(node, context);
  const taps = upsample ? 4 : kernelHeight * kernelWidth;
  const m = rowsOf(context, upsample ? node.inputs.x : node.output);
  return { m, n, depth: taps * (channels + channels2), taps, phases: upsample ? 4 : 1 };
}

/** Whether a doubled image can be read as its phases: 3x3 filters that keep the size. */
export function hasPhases(node: NodesOf<'conv2d'>, context: CudaContext): boolean {
  const [, , kernelHeight, kernelWidth] = context.shapeOf(node.inputs.weight);
  const { stride, padding } = node.attrs;
  const keepsSize = stride === 1 && padding.every((count) => count === 1);
  return kernelHeight === 3 && kernelWidth === 3 && keepsSize && node.inputs.x2 === undefined;
}

/** The arguments of a convolution, its operands as they are; but for the tile and the type of its elements. */
export function convArguments(node: NodesOf<'conv2d'>, context: CudaContext) {
  const [batch, height, width] = context.shapeOf(node.inputs.x);
  const [outChannels, , kernelHeight, kernelWidth] = context.shapeOf(node.inputs.weight);
  const [channels, channels2] = sourceChannels(node, context);
  const { stride, padding, upsample, activation } = node.attrs;
  const [padTop, padLeft, padBottom, padRight] = padding;
  return {
    x: 'x',
    x2: 'x2',
    weight: 'weight',
    bias: 'bias',
    rows: 'rows',
    rowIndex: 'rowIndex',
    residual: 'residual',
    out: 'y',
    batch,
    height,
    width,
    channels,
    channels2,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padTop,
    padLeft,
    padBottom,
    padRight,
    upsample: upsample ? 1 : 0,
    activation: activationCode(activation),
    flags: OVERLAP,
  };
}

export const conv = defineCudaKernel({
  id: 'conv',
  ops: ['conv2d'],
  inPlace: () => 'residual',
  supports: (node, context) =>
    isNarrow(context, node.output) &&
    sourceChannels(node, context).every((channels) => channels % VECTOR_CHANNELS === 0) &&
    node.attrs.stride <= MAX_STRIDE &&
    (!node.attrs.upsample || hasPhases(node, context)),
  packing(node, context) {
    if (node.attrs.upsample) return { weight: PHASES };
    return elementCount(context.shapeOf(node.inputs.weight).slice(2)) > 1 ? { weight: FILTERS } : {};
  },
  scratchBytes(node, context) {
    const sizes = sizesOf(node, context);
    return partialBytes(sizes, tileOf(sizes, context));
  },
  launches(node, context) {
    const sizes = sizesOf(node, context);
    const tile = tileArguments(sizes, tileOf(sizes, context));
    const element = elementOf(context, node.output);
    return [convLaunch.with({ ...convArguments(node, context), element, ...tile })];
  },
});

function paddedChannels(node: NodesOf<'conv2d'>, context: CudaContext): number {
  return Math.ceil(channelsOf(context, node.inputs.x) / VECTOR_CHANNELS) * VECTOR_CHANNELS;
}

/** First layers, whose few channels are no whole vectors: zeros are put after them. */
export const convPadded = defineCudaKernel({
  id: 'conv-padded',
  ops: ['conv2d'],
  inPlace: () => 'residual',
  supports: (node, context) =>
    isNarrow(context, node.output) &&
    node.inputs.x2 === undefined &&
    node.attrs.stride <= MAX_STRIDE &&
    !node.attrs.upsample,
  packing: () => ({ weight: PADDED_FILTERS }),
  scratchBytes: (node, context) => [
    rowsOf(context, node.inputs.x) * paddedChannels(node, context) * DEVICE_DTYPE_BYTES.f16,
  ],
  launches(node, context) {
    const { x } = node.inputs;
    const channels = paddedChannels(node, context);
    const element = elementOf(context, x);
    return [
      padChannelsLaunch.with({
        x: 'x',
        y: 'scratch0',
        rows: rowsOf(context, x),
        xChannels: channelsOf(context, x),
        yChannels: channels,
        element,
      }),
      convLaunch.with({ ...convArguments(node, context), x: 'scratch0', channels, element, ...CHOSEN_TILE }),
    ];
  },
});
