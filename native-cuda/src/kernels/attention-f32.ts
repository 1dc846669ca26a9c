/**
 * @file Attention of one very wide head in f32, as decoders have it, on tensor cores: its scores are products of queries and
 * keys (product-f32.ts) in memory, of some thousand queries at a time.
 */

import { DEVICE_DTYPE_BYTES } from 'calotype/backend-kit';
import { channelsOf, defineCudaKernel, type CudaContext, type NodesOf } from '../kernel.ts';
import { defineLaunch, type CudaLaunch, type Operand } from '../launch.ts';
import { MATRIX, packF32Launch, productF32Launch, splitBytes, VECTOR } from './product-f32.ts';

export const softmaxRowsLaunch = defineLaunch('softmax_rows', {
  x: 'pointer',
  rows: 'i32',
  columns: 'i32',
  pitch: 'i32',
  scale: 'f32',
});

/** Narrower heads leave their scores in registers: of these scores are a small part of the work. */
const LEAST_HEAD_DIM = 256;

/** Queries whose scores are in memory at once: enough for products that keep a card busy. */
const MAX_QUERIES = 4096;

function sizesOf({ inputs, attrs }: NodesOf<'attention'>, context: CudaContext) {
  const [batch, queries] = context.shapeOf(inputs.q);
  const [, keys] = context.shapeOf(inputs.k);
  const pitch = Math.ceil(keys / VECTOR) * VECTOR;
  return { batch, queries, keys, headDim: attrs.headDim, pitch, together: Math.min(queries, MAX_QUERIES) };
}

export const attentionF32 = defineCudaKernel({
  id: 'attention-f32',
  ops: ['attention'],
  supports({ inputs, attrs, output }, context) {
    const { heads, headDim, causal, offsets } = attrs;
    const pitches = [inputs.q, inputs.k, inputs.v].map((value) => channelsOf(context, value));
    return (
      context.dtypeOf(output) === 'f32' &&
      inputs.bias === undefined &&
      !causal &&
      heads === 1 &&
      headDim >= LEAST_HEAD_DIM &&
      [headDim, ...offsets, ...pitches].every((count) => count % VECTOR === 0)
    );
  },
  scratchBytes(node, context) {
    const { keys, headDim, pitch, together } = sizesOf(node, context);
    const scores = together * pitch * DEVICE_DTYPE_BYTES.f32;
    return [splitBytes(keys, [headDim]), splitBytes(headDim, [keys]), scores];
  },
  launches(node, context) {
    const { batch, queries, keys, headDim, pitch, together } = sizesOf(node, context);
    const { q, k, v } = node.inputs;
    const [qPitch, kPitch, vPitch] = [q, k, v].map((value) => channelsOf(context, value));
    const [qOffset, kOffset, vOffset] = node.attrs.offsets;
    const at = (operand: string, element: number): Operand => ({
      operand,
      offsetBytes: element * DEVICE_DTYPE_BYTES.f32,
    });
    const pack = { channels2: 0, taps: 1, upsample: 0, gated: 0 };
    const product = { ...MATRIX, bias: 'none', residual: 'none', activation: 0 };
    const ofQueries = (image: number, first: number): CudaLaunch[] => {
      const rows = Math.min(together, queries - first);
      const row = image * queries + first;
      return [
        productF32Launch.with({
          ...product,
          x: at('q', row * qPitch + qOffset),
          weight: 'scratch0',
          out: 'scratch2',
          width: rows,
          channels: headDim,
          outChannels: keys,
          xPitch: qPitch,
          outPitch: pitch,
        }),
        softmaxRowsLaunch.with({ x: 'scratch2', rows, columns: keys, pitch, scale: node.attrs.scale }),
        productF32Launch.with({
          ...product,
          x: 'scratch2',
          weight: 'scratch1',
          out: at('y', row * headDim),
          width: rows,
          channels: keys,
          outChannels: headDim,
          xPitch: pitch,
          outPitch: headDim,
        }),
      ];
    };
    const starts = Array.from({ length: Math.ceil(queries / together) }, (_, i) => i * together);
    return Array.from({ length: batch }, (_, image) => [
      packF32Launch.with({
        ...pack,
        in: at('k', image * keys * kPitch + kOffset),
        out: 'scratch0',
        rowPitch: kPitch,
        channelPitch: 1,
        rows: keys,
        channels: headDim,
      }),
      // Values the other way round: a row for each of their channels.
      packF32Launch.with({
        ...pack,
        in: at('v', image * keys * vPitch + vOffset),
        out: 'scratch1',
        rowPitch: 1,
        channelPitch: vPitch,
        rows: headDim,
        channels: keys,
      }),
      ...starts.flatMap((first) => ofQueries(image, first)),
    ]).flat();
  },
});
