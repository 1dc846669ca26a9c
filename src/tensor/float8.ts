/** @file Numbers as the nearest float8_e4m3fn, as torch rounds them (c10/util/Float8_e4m3fn.h). */

const floatOfBits = new Float32Array(1);
const bitsOfFloat = new Uint32Array(floatOfBits.buffer);

/** The largest number; what would round to more has no code. */
export const LARGEST_E4M3 = 448;
/** The code of NaN. */
const NAN = 0x7f;
/** Half of the distance between 448 and the next number that there would be. */
const OVERFLOW = 464;
/** Below this numbers are multiples of 2^-9. */
const SMALLEST_NORMAL = 2 ** -6;

/** The code of the nearest number, ties to even; NaN for what is too large and for NaN. */
function encode(value: number): number {
  floatOfBits[0] = value;
  const [bits] = bitsOfFloat;
  const sign = (bits >>> 24) & 0x80;
  const magnitude = Math.abs(value);
  if (!(magnitude <= OVERFLOW)) return sign | NAN;
  // 464 itself lies in the middle, and 448 is the even one.
  if (magnitude >= LARGEST_E4M3) return sign | 0x7e;
  if (magnitude < SMALLEST_NORMAL) {
    // Exact in f32's range of numbers: adding 2^14 leaves multiples of 2^-9, rounded to even.
    return sign | Math.round(Math.fround(Math.fround(magnitude + 2 ** 14) - 2 ** 14) * 2 ** 9);
  }
  // Rounds away 20 of the 23 bits of the mantissa; a carry raises the exponent.
  const rounded = (bits & 0x7fffffff) + 0x7ffff + ((bits >>> 20) & 1);
  return sign | ((rounded >>> 20) - (120 << 3));
}

/** Codes of numbers, into new bytes. */
export function encodeE4M3(values: Float32Array): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) codes[i] = encode(values[i]);
  return codes;
}

/** Whether some code of float8_e4m3fn is NaN. */
export function hasNaN(codes: Uint8Array): boolean {
  return codes.some((code) => (code & NAN) === NAN);
}
