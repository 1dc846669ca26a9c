/**
 * @file The arithmetic of native-cuda/kernels/product_f32.cu, without a card: what an f32 product loses that is computed on
 * scaled pairs of halves, beside TF32, and whether it keeps f32's range.
 */
import { expect, test } from 'vitest';
import { encodeF16, f16ToF32 } from '../../src/tensor/float16.ts';
import { ACCUMULATION, seededRandom } from '../cases/case.ts';
import { nmse } from '../support/nmse.ts';

/** Outputs of a test, and channels whose products a card's matrix units sum up before they are added to an f32. */
const OUTPUTS = 16;
const STAGE = 64;

/** Channels of one matrix instruction. */
const STEP = 16;

/** Bound of NMSE for what is to be as exact as f32. */
const EXACT = 1e-12;

/** Numbers that were scaled by powers of two and then split. */
interface Split {
  readonly high: Float32Array;
  readonly low: Float32Array;
  /** What undoes the scaling of each block of neighbouring numbers. */
  readonly inverse: Float32Array;
  readonly block: number;
}

function rounded(values: Float32Array): Float32Array {
  return Float32Array.from(encodeF16(values), f16ToF32);
}

/** A power of two that brings the largest number of a block between 2^14 and 2^15. */
function factorOf(values: Float32Array): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const exponent = largest === 0 ? -100 : Math.max(-100, Math.floor(Math.log2(largest)));
  return 2 ** (14 - exponent);
}

/** Blocks of `block` numbers are scaled alike: rows of a weight, stages of a row of the left operand. */
function split(values: Float32Array, block: number): Split {
  const scaled = values.slice();
  const inverse = new Float32Array(Math.ceil(values.length / block));
  for (let i = 0; i < inverse.length; i++) {
    const part = scaled.subarray(i * block, (i + 1) * block);
    const factor = factorOf(part);
    part.forEach((value, j) => (part[j] = value * factor));
    inverse[i] = 1 / factor;
  }
  const high = rounded(scaled);
  return { high, low: rounded(scaled.map((value, i) => value - high[i])), inverse, block };
}

/** f32 with TF32's 10 bits, as the hardware cuts them. */
function tf32(values: Float32Array): Float32Array {
  const cut = values.slice();
  const words = new Uint32Array(cut.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (words[i] + 0x1000) & ~0x1fff;
  return cut;
}

const number = new Float32Array(1);
const word = new Uint32Array(number.buffer);

/** The f32 that is next towards zero. */
function truncated(value: number): number {
  number[0] = value;
  if (Math.abs(number[0]) > Math.abs(value)) word[0]--;
  return number[0];
}

/** Rows [OUTPUTS, depth] of numbers around zero that need all bits of an f32. */
function rowsOf(name: string, depth: number, scale: number): Float32Array {
  const random = seededRandom(name);
  const sum = (): number => random() + random() + random() - 1.5;
  return Float32Array.from({ length: OUTPUTS * depth }, () => scale * sum());
}

function dots(a: Float32Array, b: Float32Array, depth: number): number[] {
  return Array.from({ length: OUTPUTS }, (_, row) => {
    let sum = 0;
    for (let i = row * depth; i < (row + 1) * depth; i++) sum += a[i] * b[i];
    return sum;
  });
}

/**
 * The three larger products of the kernel, summed as matrix units do: each step's sixteen products exactly, and cut to an
 * f32 when they are added to the sums so far. After `stage` channels these are scaled back and go to an ordinary f32.
 */
function splitDots(a: Split, b: Split, depth: number, stage: number): number[] {
  return Array.from({ length: OUTPUTS }, (_, row) => {
    let total = 0;
    for (let first = 0; first < depth; first += stage) {
      let part = 0;
      for (let from = first; from < Math.min(depth, first + stage); from += STEP)
        for (const [x, y] of [
          [a.low, b.high],
          [a.high, b.low],
          [a.high, b.high],
        ]) {
          let step = 0;
          for (let i = from; i < Math.min(depth, from + STEP); i++)
            step += x[row * depth + i] * y[row * depth + i];
          part = truncated(part + step);
        }
      total = Math.fround(total + part * a.inverse[Math.floor((row * depth + first) / a.block)]);
    }
    return total * b.inverse[row];
  });
}

test.each([
  ['a pointwise layer', 64, 1],
  ['a filter of 3x3', 9 * 128, 1],
  ['the deepest filter of a decoder', 9 * 512, 1],
  ['numbers beyond f16', 9 * 128, 1e6],
  ['numbers near the largest f32 that products can have', 9 * 128, 1e17],
  ['numbers below f16', 9 * 128, 1e-12],
])(
  '%s: products of split numbers are as exact as f32 must be, those of TF32 are not',
  (name, depth, scale) => {
    const a = rowsOf(`a of ${name}`, depth, scale);
    const b = rowsOf(`b of ${name}`, depth, scale);
    const exact = dots(a, b, depth);
    const ours = nmse(splitDots(split(a, STAGE), split(b, depth), depth, STAGE), exact);
    expect(ours).toBeLessThan(EXACT);
    expect(nmse(dots(tf32(a), tf32(b), depth), exact)).toBeGreaterThan(100 * ACCUMULATION.f32);
  },
);

test('matrix units cut sums off: those of a deep product are added up in between', () => {
  const depth = 9 * 512;
  // All of one sign, as weights and outputs of a softmax are: what is cut off adds up.
  const [a, b] = ['a', 'b'].map((name) => rowsOf(name, depth, 1).map(Math.abs));
  const exact = dots(a, b, depth);
  const inStages = nmse(splitDots(split(a, STAGE), split(b, depth), depth, STAGE), exact);
  const atOnce = nmse(splitDots(split(a, depth), split(b, depth), depth, depth), exact);
  expect(inStages).toBeLessThan(EXACT);
  expect(atOnce).toBeGreaterThan(100 * EXACT);
});

test('a number is split into what 22 bits hold of it, and small ones beside large ones into nearly as much', () => {
  const values = Float32Array.of(1, -1 / 3, 3.4e38, 1e-30, 2 ** 127, -7e-20);
  for (const value of values) {
    const { high, low, inverse } = split(Float32Array.of(value), 1);
    expect(Math.abs((high[0] + low[0]) * inverse[0] - value)).toBeLessThanOrEqual(2 ** -22 * Math.abs(value));
  }
  const beside = Float32Array.of(3e4, 1 / 3, 0, -1e-3);
  const { high, low, inverse } = split(beside, 4);
  for (const [i, value] of beside.entries())
    expect(Math.abs((high[i] + low[i]) * inverse[0] - value)).toBeLessThanOrEqual(
      Math.max(2 ** -22 * Math.abs(value), 2 ** -39 * 3e4),
    );
});
