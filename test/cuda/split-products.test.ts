/**
 * @file The arithmetic of native-cuda/kernels/product_f32.cu, without a card: what an f32 product loses that is computed on
 * pairs of bf16, beside TF32, and whether it keeps f32's range.
 */
import { expect, test } from 'vitest';
import { bf16ToF32, encodeBF16 } from '../../src/tensor/float16.ts';
import { ACCUMULATION, seededRandom } from '../cases/case.ts';
import { nmse } from '../support/nmse.ts';

/** Outputs of a test, and channels whose products a card's matrix units sum up before they are added to an f32. */
const OUTPUTS = 64;
const STAGE = 64;

/** Channels of one matrix instruction. */
const STEP = 16;

interface Split {
  readonly high: Float32Array;
  readonly low: Float32Array;
}

function rounded(values: Float32Array): Float32Array {
  return Float32Array.from(encodeBF16(values), bf16ToF32);
}

function split(values: Float32Array): Split {
  const high = rounded(values);
  return { high, low: rounded(values.map((value, i) => value - high[i])) };
}

/** f32 with TF32's 10 bits, as the hardware cuts them. */
function tf32(values: Float32Array): Float32Array {
  const cut = values.slice();
  const words = new Uint32Array(cut.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (words[i] + 0x1000) & ~0x1fff;
  return cut;
}

/** The f32 that is next towards zero. */
function truncated(value: number): number {
  const nearest = Math.fround(value);
  if (Math.abs(nearest) <= Math.abs(value)) return nearest;
  const word = new Uint32Array(new Float32Array([nearest]).buffer);
  word[0]--;
  return new Float32Array(word.buffer)[0];
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
 * f32 when they are added to the sums so far. After `stage` channels these go to an ordinary f32.
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
      total = Math.fround(total + part);
    }
    return total;
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
    const ours = nmse(splitDots(split(a), split(b), depth, STAGE), exact);
    expect(ours).toBeLessThan(ACCUMULATION.f32 / 2);
    expect(nmse(dots(tf32(a), tf32(b), depth), exact)).toBeGreaterThan(100 * ACCUMULATION.f32);
  },
);

test('matrix units cut sums off: those of a deep product are added up in between', () => {
  const depth = 9 * 512;
  // All of one sign, as weights and outputs of a softmax are: what is cut off adds up.
  const [a, b] = ['a', 'b'].map((name) => rowsOf(name, depth, 1).map(Math.abs));
  const exact = dots(a, b, depth);
  const inStages = nmse(splitDots(split(a), split(b), depth, STAGE), exact);
  const atOnce = nmse(splitDots(split(a), split(b), depth, depth), exact);
  expect(inStages).toBeLessThan(ACCUMULATION.f32 / 2);
  expect(atOnce).toBeGreaterThan(2 * ACCUMULATION.f32);
});

test('a number is split into what 16 bits hold of it', () => {
  const values = Float32Array.of(1, -1 / 3, 3.38e38, 1e-30, 0, 65519.5, 2 ** 127);
  const { high, low } = split(values);
  for (const [i, value] of values.entries())
    expect(Math.abs(high[i] + low[i] - value)).toBeLessThanOrEqual(2 ** -17 * Math.abs(value));
});
