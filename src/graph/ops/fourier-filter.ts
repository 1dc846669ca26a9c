/** @file Scales the lowest frequencies of an image: how FreeU weakens skip connections (Si et al. 2023). */

import { mulDims, sizeOf } from '../../tensor/shape.ts';
import { checkRank, type OpDefinition, type ValueId } from '../op.ts';

/**
 * x with its Fourier coefficients at the frequencies 0 and -1 of rows and columns (four of them, fewer where an axis has one
 * pixel) times `scale`, and the real part of that: diffusers' `fourier_filter` with threshold 1 (utils/torch_utils.py).
 */
export interface FourierFilterOp {
  readonly inputs: {
    /** [batch, height, width, channels] */
    readonly x: ValueId;
  };
  readonly attrs: { readonly scale: number };
}

/** Cosine and sine of each pixel's angle along an axis of this many, in pairs; zeros where it has no other frequency than 0. */
export function fourierWaves(size: number): Float32Array {
  const angle = (at: number): number => (2 * Math.PI * at) / size;
  const pairs = Array.from({ length: size }, (_, at) =>
    size > 1 ? [Math.cos(angle(at)), Math.sin(angle(at))] : [0, 0],
  );
  return Float32Array.from(pairs.flat());
}

export const fourierFilter: OpDefinition<FourierFilterOp> = {
  summary: 'lowest frequencies scaled',
  infer({ x }) {
    checkRank('x', x, 4);
    return { shape: x.shape, dtype: 'float' };
  },
  flops: ({ x }) => mulDims(28, sizeOf(x.shape)),
};
