/**
 * The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"),
 * four channels at a time: 4 x 4 outputs from 6 x 6 inputs and 3 x 3 weights with 36 products instead of 144, by
 * interpolation at 0, 1, -1, 2, -2 and infinity. Each is a matrix applied to columns, then to rows.
 */

import { madd } from './math';
import { BF16, F16, F32, F8_E4M3, F8_E5M2 } from './weight-type';
import { widen8 } from './widen';

/** Positions of a transformed tile. */
export const POSITIONS: i32 = 36;

/** Six numbers of an input, at `stride` bytes from `to` on. */
// @ts-ignore: decorator
@inline
function transformInput(d0: v128, d1: v128, d2: v128, d3: v128, d4: v128, d5: v128, to: usize, stride: usize): void {
  const four = f32x4.splat(4);
  const minusFour = f32x4.splat(-4);
  const minusFive = f32x4.splat(-5);
  const even = madd(d2, minusFour, d4);
  const odd = madd(d1, minusFour, d3);
  const evenTwo = f32x4.sub(d4, d2);
  const difference = f32x4.sub(d3, d1);
  const oddTwo = f32x4.add(difference, difference);
  v128.store(to, madd(d2, minusFive, madd(d0, four, d4)));
  to += stride;
  v128.store(to, f32x4.add(even, odd));
  to += stride;
  v128.store(to, f32x4.sub(even, odd));
  to += stride;
  v128.store(to, f32x4.add(evenTwo, oddTwo));
  to += stride;
  v128.store(to, f32x4.sub(evenTwo, oddTwo));
  to += stride;
  v128.store(to, madd(d3, minusFive, madd(d1, four, d5)));
}

/**
 * Transforms a 6 x 6 window.
 * @param pixels 36 addresses of pixels, row by row.
 * @param offset bytes from a pixel's address to the channels.
 * @param keep which lanes to keep; others become zeros.
 * @param to where the first of 36 positions goes, the others `stride` bytes apart.
 * @param scratch 576 bytes.
 */
export function transformWindow(
  pixels: usize,
  offset: usize,
  keep: v128,
  to: usize,
  stride: usize,
  scratch: usize,
): void {
  for (let column: usize = 0; column < 6; column++) {
    const at = pixels + (column << 2);
    transformInput(
      v128.and(v128.load(load<usize>(at) + offset), keep),
      v128.and(v128.load(load<usize>(at, 24) + offset), keep),
      v128.and(v128.load(load<usize>(at, 48) + offset), keep),
      v128.and(v128.load(load<usize>(at, 72) + offset), keep),
      v128.and(v128.load(load<usize>(at, 96) + offset), keep),
      v128.and(v128.load(load<usize>(at, 120) + offset), keep),
      scratch + (column << 4),
      96,
    );
  }
  for (let row = 0; row < 6; row++, scratch += 96, to += stride * 6)
    transformInput(
      v128.load(scratch),
      v128.load(scratch, 16),
      v128.load(scratch, 32),
      v128.load(scratch, 48),
      v128.load(scratch, 64),
      v128.load(scratch, 80),
      to,
      stride,
    );
}

/** Stores the six numbers of three weights. */
// @ts-ignore: decorator
@inline
function transformWeights(g0: v128, g1: v128, g2: v128, to: usize, stride: usize): void {
  const sixth = f32x4.splat(-1 / 6.0);
  const even = f32x4.mul(f32x4.add(g0, g2), sixth);
  const evenTwo = madd(g0, f32x4.splat(1 / 24.0), f32x4.mul(g2, f32x4.splat(1 / 6.0)));
  const odd = f32x4.mul(g1, sixth);
  const oddTwo = f32x4.mul(g1, f32x4.splat(1 / 12.0));
  v128.store(to, f32x4.mul(g0, f32x4.splat(0.25)));
  to += stride;
  v128.store(to, f32x4.add(even, odd));
  to += stride;
  v128.store(to, f32x4.sub(even, odd));
  to += stride;
  v128.store(to, f32x4.add(evenTwo, oddTwo));
  to += stride;
  v128.store(to, f32x4.sub(evenTwo, oddTwo));
  to += stride;
  v128.store(to, g2);
}

/** Transforms 3 x 3 weights of 4 columns, `pitch` bytes apart. */
// @ts-ignore: decorator
@inline
function transformFilter(g: usize, pitch: usize, to: usize, stride: usize): void {
  const row2 = pitch * 3;
  const row3 = pitch * 6;
  const quarter = f32x4.splat(0.25);
  const a0 = v128.load(g);
  const b0 = v128.load(g + pitch);
  const c0 = v128.load(g + pitch * 2);
  transformWeights(f32x4.mul(a0, quarter), f32x4.mul(b0, quarter), f32x4.mul(c0, quarter), to, stride);
  const a2 = v128.load(g + row3);
  const b2 = v128.load(g + row3 + pitch);
  const c2 = v128.load(g + row3 + pitch * 2);
  const position = stride * 6;
  transformWeights(a2, b2, c2, to + position * 5, stride);
  const a1 = v128.load(g + row2);
  const b1 = v128.load(g + row2 + pitch);
  const c1 = v128.load(g + row2 + pitch * 2);
  const sixth = f32x4.splat(-1 / 6.0);
  const evenA = f32x4.mul(f32x4.add(a0, a2), sixth);
  const evenB = f32x4.mul(f32x4.add(b0, b2), sixth);
  const evenC = f32x4.mul(f32x4.add(c0, c2), sixth);
  to += position;
  transformWeights(madd(a1, sixth, evenA), madd(b1, sixth, evenB), madd(c1, sixth, evenC), to, stride);
  to += position;
  const sixthUp = f32x4.splat(1 / 6.0);
  transformWeights(madd(a1, sixthUp, evenA), madd(b1, sixthUp, evenB), madd(c1, sixthUp, evenC), to, stride);
  const small = f32x4.splat(1 / 24.0);
  const evenTwoA = madd(a0, small, f32x4.mul(a2, sixthUp));
  const evenTwoB = madd(b0, small, f32x4.mul(b2, sixthUp));
  const evenTwoC = madd(c0, small, f32x4.mul(c2, sixthUp));
  const twelfth = f32x4.splat(1 / 12.0);
  to += position;
  transformWeights(
    madd(a1, twelfth, evenTwoA),
    madd(b1, twelfth, evenTwoB),
    madd(c1, twelfth, evenTwoC),
    to,
    stride,
  );
  to += position;
  const minusTwelfth = f32x4.splat(-1 / 12.0);
  transformWeights(
    madd(a1, minusTwelfth, evenTwoA),
    madd(b1, minusTwelfth, evenTwoB),
    madd(c1, minusTwelfth, evenTwoC),
    to,
    stride,
  );
}

// @ts-ignore: decorator
@inline
function transformFilters(
  from: usize,
  type: i32,
  tapBytes: usize,
  depth: i32,
  to: usize,
  stride: usize,
  scratch: usize,
): void {
  const bytes: usize = type == F32 ? 32 : type <= BF16 ? 16 : 8;
  const end = to + ((<usize>depth) << 5);
  for (; to < end; to += 32, from += bytes) {
    let tap = from;
    for (let at = scratch; at < scratch + 288; at += 32, tap += tapBytes) widen8(tap, type, at);
    transformFilter(scratch, 32, to, stride);
    transformFilter(scratch + 16, 32, to + 16, stride);
  }
}

/**
 * Widens and transforms `depth` steps of a packed panel of 3 x 3 filters.
 * @param from the first step's 8 columns at the first tap; taps are `tapBytes` apart.
 * @param to panels [depth][8] of the 36 positions, `stride` bytes apart.
 * @param scratch 288 bytes.
 */
export function transformPanel(
  from: usize,
  type: i32,
  tapBytes: usize,
  depth: i32,
  to: usize,
  stride: usize,
  scratch: usize,
): void {
  // A loop for each type, so that widening has no branches.
  if (type == F32) transformFilters(from, F32, tapBytes, depth, to, stride, scratch);
  else if (type == F16) transformFilters(from, F16, tapBytes, depth, to, stride, scratch);
  else if (type == BF16) transformFilters(from, BF16, tapBytes, depth, to, stride, scratch);
  else if (type == F8_E4M3) transformFilters(from, F8_E4M3, tapBytes, depth, to, stride, scratch);
  else transformFilters(from, F8_E5M2, tapBytes, depth, to, stride, scratch);
}

/** Four outputs of six products. */
// @ts-ignore: decorator
@inline
function transformSums(m0: v128, m1: v128, m2: v128, m3: v128, m4: v128, m5: v128, to: usize, stride: usize): void {
  const sum = f32x4.add(m1, m2);
  const difference = f32x4.sub(m1, m2);
  const sumTwo = f32x4.add(m3, m4);
  const differenceTwo = f32x4.sub(m3, m4);
  v128.store(to, f32x4.add(f32x4.add(m0, sum), sumTwo));
  to += stride;
  v128.store(to, madd(differenceTwo, f32x4.splat(2), difference));
  to += stride;
  v128.store(to, madd(sumTwo, f32x4.splat(4), sum));
  to += stride;
  v128.store(to, f32x4.add(madd(differenceTwo, f32x4.splat(8), difference), m5));
}

/**
 * Sums of the 36 positions, `stride` bytes apart, to 4 x 4 pixels, `pixelStride` bytes apart.
 * @param scratch 384 bytes.
 */
export function transformOutputs(
  sums: usize,
  stride: usize,
  to: usize,
  pixelStride: usize,
  scratch: usize,
): void {
  const rowStride = stride * 6;
  for (let column: usize = 0; column < 96; column += 16, sums += stride) {
    const two = sums + rowStride + rowStride;
    const four = two + rowStride + rowStride;
    transformSums(
      v128.load(sums),
      v128.load(sums + rowStride),
      v128.load(two),
      v128.load(two + rowStride),
      v128.load(four),
      v128.load(four + rowStride),
      scratch + column,
      96,
    );
  }
  for (let row = 0; row < 4; row++, scratch += 96, to += pixelStride << 2)
    transformSums(
      v128.load(scratch),
      v128.load(scratch, 16),
      v128.load(scratch, 32),
      v128.load(scratch, 48),
      v128.load(scratch, 64),
      v128.load(scratch, 80),
      to,
      pixelStride,
    );
}
