/** Packed columns of a stored type as f32, 8 columns at a time. */

import { BF16, F16, F32, F8_E4M3, F8_E5M2, widenF16 } from './weight-type';

/** 16 bits as the upper half of f32 numbers: the first four of eight. */
// @ts-ignore: decorator
@inline
function upperHalves(bits: v128): v128 {
  return v128.shuffle<u16>(i16x8.splat(0), bits, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The last four of eight. */
// @ts-ignore: decorator
@inline
function upperHalvesOfRest(bits: v128): v128 {
  return v128.shuffle<u16>(i16x8.splat(0), bits, 4, 12, 5, 13, 6, 14, 7, 15);
}

/**
 * Eight float8_e4m3fn codes, as bfloat16 first. A code's fraction, put under the exponent of 2^-6 in place of that of
 * subnormal codes, is 2^-6 too much, which is taken off in f32: products with subnormal numbers would do as well,
 * but some machines take a hundred times longer for them.
 */
// @ts-ignore: decorator
@inline
function widen8E4M3(from: usize, to: usize): void {
  const codes = v128.load_ext<u8>(from);
  const low = v128.and(codes, i16x8.splat(0x7f));
  const sign = v128.and(i16x8.shl(codes, 8), i16x8.splat(<i16>0x8000));
  const nan = v128.and(i16x8.eq(low, i16x8.splat(0x7f)), i16x8.splat(0x7fc0));
  const small = i16x8.lt_s(low, i16x8.splat(8));
  const exponent = i16x8.sub(i16x8.splat(120 << 7), i16x8.shl(small, 7));
  const bits = v128.or(i16x8.add(i16x8.shl(low, 4), exponent), v128.or(sign, nan));
  const excess = v128.or(v128.and(small, i16x8.splat(121 << 7)), sign);
  v128.store(to, f32x4.sub(upperHalves(bits), upperHalves(excess)));
  v128.store(to, f32x4.sub(upperHalvesOfRest(bits), upperHalvesOfRest(excess)), 16);
}

/** Stores eight elements from `from` on as f32 to `to`. Inlined with a constant type, which leaves no branches. */
// @ts-ignore: decorator
@inline
export function widen8(from: usize, type: i32, to: usize): void {
  if (type == F32) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  } else if (type == F16) {
    v128.store(to, widenF16(v128.load_ext<u16>(from)));
    v128.store(to, widenF16(v128.load_ext<u16>(from, 8)), 16);
  } else if (type == BF16) {
    const bits = v128.load(from);
    v128.store(to, upperHalves(bits));
    v128.store(to, upperHalvesOfRest(bits), 16);
  } else if (type == F8_E4M3) {
    widen8E4M3(from, to);
  } else {
    const halves = i16x8.shl(v128.load_ext<u8>(from), 8);
    v128.store(to, widenF16(i32x4.extend_low_i16x8_u(halves)));
    v128.store(to, widenF16(i32x4.extend_high_i16x8_u(halves)), 16);
  }
}

// @ts-ignore: decorator
@inline
function widen(source: usize, type: i32, depth: i32, to: usize): void {
  const bytes: usize = type <= BF16 ? 16 : 8;
  const end = to + ((<usize>depth) << 5);
  for (; to < end; to += 32, source += bytes) widen8(source, type, to);
}

/** `depth` steps of a packed panel of 8 columns as f32: in `scratch`, or in place where they are f32 already. */
export function widenPanel(source: usize, type: i32, depth: i32, scratch: usize): usize {
  if (type == F32) return source;
  if (type == F16) widen(source, F16, depth, scratch);
  else if (type == BF16) widen(source, BF16, depth, scratch);
  else if (type == F8_E4M3) widen(source, F8_E4M3, depth, scratch);
  else widen(source, F8_E5M2, depth, scratch);
  return scratch;
}
