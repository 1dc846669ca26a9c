/** @file Numbers as the nearest float8_e4m3fn, as torch rounds them (c10/util/Float8_e4m3fn.h). */

import { decodeToF32 } from './decode.ts';
import { STORED_DTYPES, type StoredDType } from './dtype.ts';

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

/** Codes of all numbers that a type of 16 bits has, by their bits. */
const tables = new Map<StoredDType, Uint8Array>();

/**
 * Codes of stored elements, into new bytes; undefined if one is too large or NaN. Those of 16 bits are looked up: networks
 * have billions of them.
 */
export function storedToE4M3(bytes: Uint8Array, dtype: StoredDType): Uint8Array<ArrayBuffer> | undefined {
  if (STORED_DTYPES[dtype] !== 2) {
    const codes = encodeE4M3(decodeToF32(bytes, dtype));
    return areNumbers(codes) ? codes : undefined;
  }
  const table = tableOf(dtype);
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const source = new Uint16Array(buffer, byteOffset, byteLength / 2);
  const codes = new Uint8Array(source.length);
  for (let i = 0; i < source.length; i++) {
    const code = table[source[i]];
    if ((code & NAN) === NAN) return undefined;
    codes[i] = code;
  }
  return codes;
}

/** Not by `every`, which takes ten times as long for a function that it calls. */
function areNumbers(codes: Uint8Array): boolean {
  for (let i = 0; i < codes.length; i++) if ((codes[i] & NAN) === NAN) return false;
  return true;
}

function tableOf(dtype: StoredDType): Uint8Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
    table = encodeE4M3(decodeToF32(new Uint8Array(all.buffer), dtype));
    tables.set(dtype, table);
  }
  return table;
}
