/** The stored types of weights, numbered as in src/backends/cpu/kernel.ts, and the loads that widen them to f32. */

export const F32: i32 = 0;
export const F16: i32 = 1;
export const BF16: i32 = 2;
export const F8_E4M3: i32 = 3;
export const F8_E5M2: i32 = 4;

/** Binary logarithm of an element's bytes. */
export function shiftOf(type: i32): i32 {
  return type == F32 ? 2 : type <= BF16 ? 1 : 0;
}

/** Four halves, in the lower 16 bits of each lane, as f32. */
export function widenF16(codes: v128): v128 {
  const magnitude = i32x4.shl(v128.and(codes, i32x4.splat(0x7fff)), 13);
  // Rebiasing the exponent by a product makes subnormals right as well; infinities and NaNs keep all ones.
  const number = f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x7780_0000)));
  const special = v128.and(
    i32x4.ge_s(magnitude, i32x4.splat(0x0f80_0000)),
    i32x4.splat(0x7f80_0000),
  );
  const sign = i32x4.shl(v128.and(codes, i32x4.splat(0x8000)), 16);
  return v128.or(v128.or(number, special), sign);
}

/** Four float8_e4m3fn codes, in the lower 8 bits of each lane, as f32. */
export function widenE4M3(codes: v128): v128 {
  const low = v128.and(codes, i32x4.splat(0x7f));
  const number = f32x4.mul(i32x4.shl(low, 20), f32x4.splat(reinterpret<f32>(0x7b80_0000)));
  const special = v128.and(i32x4.eq(low, i32x4.splat(0x7f)), i32x4.splat(0x7fc0_0000));
  const sign = i32x4.shl(v128.and(codes, i32x4.splat(0x80)), 24);
  return v128.or(v128.or(number, special), sign);
}

/** Four neighbouring elements of a stored type, as f32. */
export function load4(address: usize, type: i32): v128 {
  if (type == F32) return v128.load(address);
  if (type == F16) return widenF16(v128.load_ext<u16>(address));
  if (type == BF16) return i32x4.shl(v128.load_ext<u16>(address), 16);
  const bytes = v128.load32_zero(address);
  const codes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes));
  return type == F8_E4M3 ? widenE4M3(codes) : widenF16(i32x4.shl(codes, 8));
}

/** One element of a stored type, as f32. */
export function load1(address: usize, type: i32): f32 {
  if (type == F32) return load<f32>(address);
  if (type == F16) return f32x4.extract_lane(widenF16(i32x4.splat(load<u16>(address))), 0);
  if (type == BF16) return reinterpret<f32>((load<u16>(address) as u32) << 16);
  const code = i32x4.splat(load<u8>(address));
  const wide = type == F8_E4M3 ? widenE4M3(code) : widenF16(i32x4.shl(code, 8));
  return f32x4.extract_lane(wide, 0);
}
