/**
 * @file The small float formats, as bit patterns: IEEE half, bfloat16, and the two 8-bit formats that torch calls
 * float8_e4m3fn and float8_e5m2 (Micikevicius et al. 2022, "FP8 Formats for Deep Learning").
 *
 * Tables and loops work on bit patterns (Uint32Array views) rather than on numbers, so that the engine never
 * converts through double and NaN payloads survive.
 */

const bitsOfFloat = new Uint32Array(1);
const floatOfBits = new Float32Array(bitsOfFloat.buffer);

/** The bit pattern of the IEEE half nearest to a float32 given by its bits; ties to even, overflow to infinity. */
export function f32BitsToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  // NaN: keep the upper payload and set the quiet bit, as hardware does.
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  // 65520 is half way between the largest half and the next step up, and rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Normal: rebias the exponent (127 to 15) and round the 13 bits that go; a carry moves into the exponent.
  if (magnitude >= 0x38800000)
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  // Up to 2^-25, half of the smallest subnormal: zero. Below, shifts stay under 25 bits.
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept);
}

/** The bit pattern of the IEEE half nearest to a number. */
export function f32ToF16(value: number): number {
  floatOfBits[0] = value;
  return f32BitsToF16(bitsOfFloat[0]);
}

/** The float32 bits of a small float with `exponentBits` and `mantissaBits`, infinities and NaNs as in IEEE 754. */
function widen(code: number, exponentBits: number, mantissaBits: number): number {
  const sign = (code >>> (exponentBits + mantissaBits)) << 31;
  const exponent = (code >>> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = code & ((1 << mantissaBits) - 1);
  const bias = (1 << (exponentBits - 1)) - 1;
  if (exponent === (1 << exponentBits) - 1)
    return (sign | 0x7f800000 | (mantissa === 0 ? 0 : 0x400000 | (mantissa << (23 - mantissaBits)))) >>> 0;
  if (exponent > 0) return (sign | ((exponent - bias + 127) << 23) | (mantissa << (23 - mantissaBits))) >>> 0;
  // Subnormals of all three formats are exact, normal float32 numbers.
  floatOfBits[0] = mantissa * 2 ** (1 - bias - mantissaBits);
  return (sign | bitsOfFloat[0]) >>> 0;
}

/** float8_e4m3fn has no infinities; only its largest code is NaN, so its top exponent holds normal numbers. */
function widenE4M3(code: number): number {
  if ((code & 0x7f) === 0x7f) return (((code & 0x80) << 24) | 0x7fc00000) >>> 0;
  if ((code & 0x78) !== 0x78) return widen(code, 4, 3);
  return (((code & 0x80) << 24) | (0x87 << 23) | ((code & 7) << 20)) >>> 0;
}

function lazy<Table>(build: () => Table): () => Table {
  let table: Table | undefined;
  return () => (table ??= build());
}

/** float32 bits of all 65,536 halves (256 KiB, built on first use). */
export const f16Table = lazy(() => Uint32Array.from({ length: 0x10000 }, (_, code) => widen(code, 5, 10)));

/** float32 bits of the 256 float8_e4m3fn codes. */
export const f8E4M3Table = lazy(() => Uint32Array.from({ length: 256 }, (_, code) => widenE4M3(code)));

/** float32 bits of the 256 float8_e5m2 codes. */
export const f8E5M2Table = lazy(() => Uint32Array.from({ length: 256 }, (_, code) => widen(code, 5, 2)));

/** Half bits of the 256 float8_e4m3fn codes; each is exact. */
export const f8E4M3ToF16Table = lazy(() => Uint16Array.from(f8E4M3Table(), f32BitsToF16));

/** The number that a half's bit pattern stands for. */
export function f16ToF32(code: number): number {
  bitsOfFloat[0] = f16Table()[code & 0xffff];
  return floatOfBits[0];
}

/** The number that the bit pattern of a bfloat16 stands for. */
export function bf16ToF32(code: number): number {
  bitsOfFloat[0] = code << 16;
  return floatOfBits[0];
}

/** The bit pattern of the bfloat16 nearest to a float32 given by its bits; ties to even, overflow to infinity. */
function f32BitsToBF16(bits: number): number {
  // NaN: a payload in the bits that go must not leave an infinity.
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Bfloat16 numbers nearest to the given ones, as bit patterns. */
export function encodeBF16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) result[i] = f32BitsToBF16(bits[i]);
  return result;
}

/** Halves nearest to the given numbers (ties to even, overflow to infinity), as bit patterns. */
export function encodeF16(
  values: Float32Array,
  into: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) into[i] = f32BitsToF16(bits[i]);
  return into;
}
