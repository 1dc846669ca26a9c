/**
 * @file Stored bytes of any element type to the arrays that the engine computes with: float32, half bits, int32.
 *
 * Safetensors is little-endian, and so is every platform that JavaScript engines with typed arrays run on here.
 */
import { FileFormatError } from '../errors.ts';
import { STORED_DTYPES, type StoredDType } from './dtype.ts';
import { encodeF16, f16Table, f8E4M3Table, f8E4M3ToF16Table, f8E5M2Table } from './float16.ts';

/** The number of elements in `bytes`. Throws RangeError if they are not a whole number of elements. */
function elements(bytes: Uint8Array, dtype: StoredDType): number {
  const count = bytes.byteLength / STORED_DTYPES[dtype];
  if (!Number.isInteger(count))
    throw new RangeError(`${bytes.byteLength} bytes are no whole number of ${dtype}`);
  return count;
}

/** The same bytes at an address that a typed array of this element size may start at. */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

function u16(bytes: Uint8Array): Uint16Array {
  const source = aligned(bytes, 2);
  return new Uint16Array(source.buffer, source.byteOffset, source.byteLength / 2);
}

function i32(bytes: Uint8Array): Int32Array {
  const source = aligned(bytes, 4);
  return new Int32Array(source.buffer, source.byteOffset, source.byteLength / 4);
}

function lookUp<Target extends Uint32Array | Uint16Array>(
  codes: Uint8Array | Uint16Array,
  table: Target,
  target: Target,
): void {
  for (let i = 0; i < codes.length; i++) target[i] = table[codes[i]];
}

function outputFor<Output extends Float32Array | Uint16Array>(output: Output, count: number): Output {
  if (output.length !== count) throw new RangeError(`the output has ${output.length} elements for ${count}`);
  return output;
}

/**
 * Stored elements as float32. F64 and I64 are rounded to the nearest float32, all other types up to 16 bits are
 * exact. `into`, if given, must have exactly the number of elements; it is filled and returned.
 */
export function decodeToF32(bytes: Uint8Array, dtype: StoredDType, into?: Float32Array): Float32Array {
  const count = elements(bytes, dtype);
  const output = outputFor(into ?? new Float32Array(count), count);
  const bits = new Uint32Array(output.buffer, output.byteOffset, count);
  switch (dtype) {
    case 'F64': {
      const source = aligned(bytes, 8);
      output.set(new Float64Array(source.buffer, source.byteOffset, count));
      return output;
    }
    case 'F32':
      bits.set(i32(bytes));
      return output;
    case 'F16':
      lookUp(u16(bytes), f16Table(), bits);
      return output;
    case 'BF16': {
      const source = u16(bytes);
      for (let i = 0; i < count; i++) bits[i] = source[i] << 16;
      return output;
    }
    case 'F8_E4M3':
      lookUp(bytes, f8E4M3Table(), bits);
      return output;
    case 'F8_E5M2':
      lookUp(bytes, f8E5M2Table(), bits);
      return output;
    case 'I64': {
      const halves = i32(bytes);
      for (let i = 0; i < count; i++) output[i] = halves[2 * i + 1] * 2 ** 32 + (halves[2 * i] >>> 0);
      return output;
    }
    case 'I32':
      output.set(i32(bytes));
      return output;
    case 'I16': {
      const source = aligned(bytes, 2);
      output.set(new Int16Array(source.buffer, source.byteOffset, count));
      return output;
    }
    case 'I8':
      output.set(new Int8Array(bytes.buffer, bytes.byteOffset, count));
      return output;
    case 'U8':
    case 'BOOL':
      output.set(bytes);
      return output;
  }
}

/**
 * Stored elements as half bit patterns, rounded to nearest even; numbers over 65,504 become infinite, as in torch.
 * `into`, if given, must have exactly the number of elements; it is filled and returned.
 */
export function decodeToF16(bytes: Uint8Array, dtype: StoredDType, into?: Uint16Array): Uint16Array {
  const count = elements(bytes, dtype);
  const output = outputFor(into ?? new Uint16Array(count), count);
  switch (dtype) {
    case 'F16':
      output.set(u16(bytes));
      return output;
    case 'F8_E4M3':
      lookUp(bytes, f8E4M3ToF16Table(), output);
      return output;
    case 'F8_E5M2':
      // The same format with eight more zero bits of mantissa.
      for (let i = 0; i < count; i++) output[i] = bytes[i] << 8;
      return output;
    default: {
      const size = STORED_DTYPES[dtype];
      const scratch = new Float32Array(Math.min(count, CHUNK));
      for (let start = 0; start < count; start += CHUNK) {
        const end = Math.min(start + CHUNK, count);
        const chunk = scratch.subarray(0, end - start);
        decodeToF32(bytes.subarray(start * size, end * size), dtype, chunk);
        encodeF16(chunk, output.subarray(start, end));
      }
      return output;
    }
  }
}

/** Elements converted at a time, so that scratch memory stays small next to a large tensor. */
const CHUNK = 1 << 16;

/** Stored integers as int32. Throws FileFormatError for floats and for numbers that do not fit. */
export function decodeToI32(bytes: Uint8Array, dtype: StoredDType): Int32Array {
  const count = elements(bytes, dtype);
  switch (dtype) {
    case 'I64': {
      const halves = i32(bytes);
      const output = new Int32Array(count);
      for (let i = 0; i < count; i++) {
        output[i] = halves[2 * i];
        if (halves[2 * i + 1] !== output[i] >> 31)
          throw new FileFormatError(`the 64-bit number at index ${i} does not fit 32 bits`, {
            remedy: 'Check that the file is what its name says',
          });
      }
      return output;
    }
    case 'I32':
      return i32(bytes).slice();
    case 'I16':
    case 'I8':
    case 'U8':
    case 'BOOL':
      return Int32Array.from(decodeToF32(bytes, dtype));
    default:
      throw new FileFormatError(`whole numbers are needed, but the tensor is ${dtype}`, {
        remedy: 'Check that the file is what its name says',
      });
  }
}
