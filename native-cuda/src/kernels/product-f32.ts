/** @file Convolutions and linear layers of f32 on tensor cores, which multiply numbers split into two halves. */

import { sum } from 'calotype/backend-kit';
import { channelsOf, defineCudaKernel, elementCount, rowsOf, type WeightPacking } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { convArguments, hasPhases, MAX_STRIDE, sourceChannels } from './conv.ts';
import { GEGLU } from './gemm.ts';
import { OVERLAP } from './tensor-core.ts';

export const productF32Launch = defineLaunch('product_f32', {
  x: 'pointer',
  x2: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  rows: 'pointer',
  rowIndex: 'pointer',
  residual: 'pointer',
  out: 'pointer',
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
  xPitch: 'i32',
  outPitch: 'i32',
  flags: 'i32',
  config: 'i32',
});

export const packF32Launch = defineLaunch('pack_f32', {
  in: 'pointer',
  out: 'pointer',
  rowPitch: 'i64',
  channelPitch: 'i64',
  rows: 'i32',
  channels: 'i32',
  channels2: 'i32',
  taps: 'i32',
  upsample: 'i32',
  gated: 'i32',
});

/** Channels that the copy engine reads of a pixel come in 16 bytes. */
export const VECTOR = 4;

/** Channels of the matrix instruction. */
const STEP = 16;

/** Bytes of a packed [rows, channels] with `taps`: two numbers of two bytes each, and a scale a row. */
export function splitBytes(rows: number, channels: readonly number[], taps = 1): number {
  const packed = channels.map((count) => Math.ceil(count / STEP) * STEP);
  return rows * (taps * sum(packed) * 4 + 4);
}

/** What a product of a matrix has of a convolution's arguments. */
export const MATRIX = {
  x2: 'none',
  rows: 'none',
  rowIndex: 'none',
  batch: 1,
  height: 1,
  channels2: 0,
  kernelHeight: 1,
  kernelWidth: 1,
  stride: 1,
  padTop: 0,
  padLeft: 0,
  padBottom: 0,
  padRight: 0,
  upsample: 0,
  flags: OVERLAP,
  config: -1,
} as const;

/** A weight [out, in, ...taps] as pairs of halves; of `channels2` the second source's channels come last. */
function splitWeight(options: { channels2?: number; upsample?: boolean; gated?: boolean }): WeightPacking {
  const { channels2 = 0, upsample = false, gated = false } = options;
  return {
    key: `split ${channels2} ${upsample} ${gated}`,
    bytes([rows, channels, ...kernel]) {
      const sources = [channels - channels2, channels2];
      return upsample ? splitBytes(4 * rows, sources, 4) : splitBytes(rows, sources, elementCount(kernel));
    },
    launch([rows, channels, ...kernel]) {
      const taps = elementCount(kernel);
      return packF32Launch.with({
        in: 'source',
        out: 'packed',
        rowPitch: channels * taps,
        channelPitch: taps,
        rows,
        channels: channels - channels2,
        channels2,
        taps,
        upsample: upsample ? 1 : 0,
        gated: gated ? 1 : 0,
      });
    },
  };
}

export const convF32 = defineCudaKernel({
  id: 'conv-f32',
  ops: ['conv2d'],
  inPlace: () => 'residual',
  supports: (node, context) =>
    context.dtypeOf(node.output) === 'f32' &&
    sourceChannels(node, context).every((channels) => channels % VECTOR === 0) &&
    node.attrs.stride <= MAX_STRIDE &&
    (!node.attrs.upsample || hasPhases(node, context)),
  packing(node, context) {
    const [, channels2] = sourceChannels(node, context);
    return { weight: splitWeight({ channels2, upsample: node.attrs.upsample }) };
  },
  launches(node, context) {
    const convolution = convArguments(node, context);
    const { channels, outChannels } = convolution;
    return [productF32Launch.with({ ...convolution, xPitch: channels, outPitch: outChannels, config: -1 })];
  },
});

export const linearF32 = defineCudaKernel({
  id: 'linear-f32',
  ops: ['linear'],
  inPlace: () => 'residual',
  supports(node, context) {
    const [columns] = context.shapeOf(node.inputs.weight);
    const isGated = node.attrs.activation === 'geglu';
    return (
      context.dtypeOf(node.output) === 'f32' &&
      channelsOf(context, node.inputs.x) % VECTOR === 0 &&
      (!isGated || columns % 16 === 0)
    );
  },
  packing: (node) => ({ weight: splitWeight({ gated: node.attrs.activation === 'geglu' }) }),
  launches(node, context) {
    const { activation } = node.attrs;
    const [outChannels, channels] = context.shapeOf(node.inputs.weight);
    return [
      productF32Launch.with({
        ...MATRIX,
        x: 'x',
        weight: 'weight',
        bias: 'bias',
        residual: 'residual',
        out: 'y',
        width: rowsOf(context, node.output),
        channels,
        outChannels,
        activation: activation === 'geglu' ? GEGLU : activationCode(activation),
        xPitch: channels,
        outPitch: channelsOf(context, node.output),
      }),
    ];
  },
});
