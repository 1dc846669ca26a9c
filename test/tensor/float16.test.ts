/** @file Small float formats: every half and 8-bit code, rounding at every boundary, and torch's own results. */
import { expect, test } from 'vitest';
import { decodeToF16, decodeToF32, decodeToI32 } from '../../src/tensor/decode.ts';
import type { StoredDType } from '../../src/tensor/dtype.ts';
import { encodeE4M3, storedToE4M3 } from '../../src/tensor/float8.ts';
import { encodeF16, f16ToF32, f32BitsToF16, f32ToF16 } from '../../src/tensor/float16.ts';
import cases from '../fixtures/loaders/float_cases.json' with { type: 'json' };

const isNanHalf = (code: number) => (code & 0x7fff) > 0x7c00;
const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const allHalves = Uint16Array.from({ length: 0x10000 }, (_, code) => code);
const allBytes = Uint8Array.from({ length: 256 }, (_, code) => code);

/** A half's value from the definition of the format, in double precision. */
function halfByDefinition(code: number): number {
  const sign = code >> 15 ? -1 : 1;
  const exponent = (code >> 10) & 31;
  const mantissa = code & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24);
}

test('all 65,536 halves decode to the value of the definition and encode back to themselves', () => {
  const values = decodeToF32(bytesOf(allHalves), 'F16');
  const back = encodeF16(values);
  const wrong = [...allHalves].filter(
    (code) =>
      !Object.is(values[code], halfByDefinition(code)) ||
      !Object.is(f16ToF32(code), values[code]) ||
      (isNanHalf(code) ? !isNanHalf(back[code]) : back[code] !== code),
  );
  expect(wrong).toEqual([]);
});

test('between every two neighbouring halves: below the middle down, above it up, ties to even', () => {
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const roundAt = (value: number, ulps: number) => {
    float[0] = value;
    return f32BitsToF16(bits[0] + ulps);
  };
  let wrong = 0;
  for (let code = 0; code < 0x7c00; code++) {
    const low = halfByDefinition(code);
    // The step after the largest half would be 65,536; from its middle on, numbers overflow.
    const high = code === 0x7bff ? 65536 : halfByDefinition(code + 1);
    const middle = (low + high) / 2;
    const even = code % 2 === 0 ? code : code + 1;
    if (roundAt(middle, -1) !== code || roundAt(middle, 0) !== even || roundAt(middle, 1) !== code + 1)
      wrong++;
    if (f32ToF16(-middle) !== (even | 0x8000)) wrong++;
  }
  expect(wrong).toBe(0);
});

test('the ends of the range: tiny numbers, float32 subnormals, overflow, infinities, NaN, signed zeros', () => {
  expect(f32ToF16(2 ** -149)).toBe(0);
  expect(f32ToF16(-(2 ** -140))).toBe(0x8000);
  expect(f32ToF16(-0)).toBe(0x8000);
  expect(f32ToF16(65519.99)).toBe(0x7bff);
  expect(f32ToF16(65520)).toBe(0x7c00);
  expect(f32ToF16(-3e38)).toBe(0xfc00);
  expect(f32ToF16(Number.NEGATIVE_INFINITY)).toBe(0xfc00);
  expect(isNanHalf(f32ToF16(Number.NaN))).toBe(true);
  // A NaN whose payload lies only in the bits that are dropped must not become an infinity.
  expect(isNanHalf(f32BitsToF16(0x7f800001))).toBe(true);
});

test('float32 to half as torch rounds it', () => {
  const bits = Uint32Array.from(cases.f32, (hex) => Number.parseInt(hex, 16));
  const halves = encodeF16(new Float32Array(bits.buffer));
  expect([...halves].map((code) => code.toString(16).padStart(4, '0'))).toEqual(cases.f32_to_f16);
});

test.each(['F8_E4M3', 'F8_E5M2'] as const)('all %s codes as torch reads them', (dtype) => {
  const expected = dtype === 'F8_E4M3' ? cases.f8_e4m3 : cases.f8_e5m2;
  const reference = new Float32Array(Uint32Array.from(expected, (hex) => Number.parseInt(hex, 16)).buffer);
  expect([...decodeToF32(allBytes, dtype)]).toEqual([...reference]);
  // Every 8-bit number is a half too, so the direct table must agree.
  const halves = decodeToF16(allBytes, dtype);
  expect([...decodeToF32(bytesOf(halves), 'F16')]).toEqual([...reference]);
});

test('bfloat16 is the upper half of a float32', () => {
  const values = new Float32Array(decodeToF32(bytesOf(allHalves), 'BF16'));
  const bits = new Uint32Array(values.buffer);
  expect([...bits].filter((pattern, code) => pattern !== code * 0x10000)).toEqual([]);
});

test('every stored type converts, at unaligned addresses too', () => {
  const arrays: [StoredDType, ArrayBufferView][] = [
    ['F64', Float64Array.of(1.5, -2, 1e-3)],
    ['F32', Float32Array.of(1.5, -2, 1e-3)],
    ['F16', Uint16Array.of(0x3e00, 0xc000, 0x1419)],
    ['BF16', Uint16Array.of(0x3fc0, 0xc000, 0x3a83)],
    ['I64', BigInt64Array.of(3n, -5n, 2n ** 40n)],
    ['I32', Int32Array.of(3, -5, 2 ** 30)],
    ['I16', Int16Array.of(3, -5, 30000)],
    ['I8', Int8Array.of(3, -5, 127)],
    ['U8', Uint8Array.of(3, 251, 127)],
    ['BOOL', Uint8Array.of(1, 0, 1)],
  ];
  const plain = arrays.map(([dtype, array]) => [dtype, [...decodeToF32(bytesOf(array), dtype)]]);
  expect(plain).toEqual([
    ['F64', [1.5, -2, Math.fround(1e-3)]],
    ['F32', [1.5, -2, Math.fround(1e-3)]],
    ['F16', [1.5, -2, f16ToF32(0x1419)]],
    ['BF16', [1.5, -2, 0.00099945068359375]],
    ['I64', [3, -5, 2 ** 40]],
    ['I32', [3, -5, 2 ** 30]],
    ['I16', [3, -5, 30000]],
    ['I8', [3, -5, 127]],
    ['U8', [3, 251, 127]],
    ['BOOL', [1, 0, 1]],
  ]);
  const shifted = arrays.map(([dtype, array]) => {
    const bytes = new Uint8Array(array.byteLength + 1);
    bytes.set(bytesOf(array), 1);
    return [dtype, [...decodeToF32(bytes.subarray(1), dtype)]];
  });
  expect(shifted).toEqual(plain);
  expect([...decodeToF16(bytesOf(Float64Array.of(1.5, 1e6)), 'F64')]).toEqual([0x3e00, 0x7c00]);
});

test('half conversion of a tensor longer than its scratch block', () => {
  const values = Float32Array.from({ length: 200_001 }, (_, i) => i / 7);
  const whole = encodeF16(values);
  expect(decodeToF16(bytesOf(values), 'F32').every((code, i) => code === whole[i])).toBe(true);
});

test('whole numbers as int32, refused when they do not fit or are floats', () => {
  expect(decodeToI32(bytesOf(BigInt64Array.of(0n, 76n, -1n, -(2n ** 31n))), 'I64')).toEqual(
    Int32Array.of(0, 76, -1, -(2 ** 31)),
  );
  expect(decodeToI32(Uint8Array.of(1, 255), 'U8')).toEqual(Int32Array.of(1, 255));
  expect(decodeToI32(bytesOf(Int32Array.of(5, 2 ** 31 - 1)), 'I32')).toEqual(Int32Array.of(5, 2 ** 31 - 1));
  expect(() => decodeToI32(bytesOf(BigInt64Array.of(2n ** 31n)), 'I64')).toThrow(
    /index 0 does not fit 32 bits/,
  );
  expect(() => decodeToI32(new Uint8Array(4), 'F32')).toThrow(/whole numbers are needed/);
});

test('a wrong number of bytes or outputs is refused', () => {
  expect(() => decodeToF32(new Uint8Array(3), 'F16')).toThrow(RangeError);
  expect(() => decodeToF32(new Uint8Array(4), 'F16', new Float32Array(3))).toThrow(RangeError);
  expect(() => decodeToF16(new Uint8Array(4), 'F32', new Uint16Array(2))).toThrow(RangeError);
});

test('numbers become the nearest float8_e4m3fn, as torch rounds them', () => {
  const values = [0, -0, 1, -1, 447, 449, 463.9, 464, 464.1, 1e9, -470, 2 ** -9, 2 ** -10, 2 ** -10 * 1.0001];
  const more = [1.5, 2.5, 3.5, 7.5].map((times) => times * 2 ** -9);
  const last = [0.9999 * 2 ** -6, 2 ** -6, 1.0625, 1.1875, 1.06251, Math.PI, 1e-30, Number.NaN];
  // torch.tensor(values).to(torch.float8_e4m3fn).view(torch.uint8)
  const codes = [
    0, 128, 56, 184, 126, 126, 126, 126, 127, 127, 255, 1, 0, 1, 2, 2, 4, 8, 8, 8, 56, 58, 57, 69, 0, 127,
  ];
  expect([...encodeE4M3(Float32Array.from([...values, ...more, ...last]))]).toEqual(codes);
  const numbers = allBytes.filter((code) => (code & 127) !== 127);
  expect(encodeE4M3(decodeToF32(numbers, 'F8_E4M3'))).toEqual(numbers);
});

test.each(['F16', 'BF16'] as const)(
  'looks the float8 of every number of %s up as it computes them',
  (dtype) => {
    const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
    const numbers = all.filter(
      (bits) => Math.abs(decodeToF32(bytesOf(Uint16Array.of(bits)), dtype)[0]) <= 464,
    );
    expect(numbers.length).toBeGreaterThan(30_000);
    // From an odd address, too.
    const bytes = new Uint8Array(2 * numbers.length + 1);
    bytes.set(bytesOf(numbers), 1);
    expect(storedToE4M3(bytes.subarray(1), dtype)).toEqual(encodeE4M3(decodeToF32(bytesOf(numbers), dtype)));
    const [nan, large] = dtype === 'F16' ? [0x7e00, 0x6000] : [0x7fc0, 0x4400];
    for (const bits of [nan, large])
      expect(storedToE4M3(bytesOf(Uint16Array.of(0, bits)), dtype)).toBeUndefined();
    expect(storedToE4M3(bytesOf(Float32Array.of(1, 500)), 'F32')).toBeUndefined();
  },
);
