/**
 * @file Normalised mean squared error, the measure of every numerical comparison here, and its Vitest matcher:
 * importing this file gives `expect(actual).toMatchNmse(expected, bound)`.
 */
import { expect, TestRunner } from 'vitest';

/** Plain or typed arrays of numbers. */
export type Numbers = ArrayLike<number>;

/**
 * sum((actual - expected)^2) / sum(expected^2), in float64. Infinite when only `expected` is all zeros, and NaN as
 * soon as either holds a NaN or they hold infinities, so `nmse(...) <= bound` never passes for those.
 * Throws RangeError for arrays of different or zero length.
 */
export function nmse(actual: Numbers, expected: Numbers): number {
  if (actual.length !== expected.length)
    throw new RangeError(`${actual.length} values were compared with ${expected.length} expected ones`);
  if (expected.length === 0) throw new RangeError('there is nothing to compare: both arrays are empty');
  let error = 0;
  let signal = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    signal += expected[i] ** 2;
  }
  return error === 0 && signal === 0 ? 0 : error / signal;
}

/** Where two arrays differ most, for messages; the first NaN counts as most. */
function worst(actual: Numbers, expected: Numbers): { index: number; count: number } {
  let index = 0;
  let largest = -1;
  let count = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (Number.isNaN(difference)) count++;
    if (largest !== Infinity && (Number.isNaN(difference) || difference > largest)) {
      largest = Number.isNaN(difference) ? Infinity : difference;
      index = i;
    }
  }
  return { index, count };
}

expect.extend({
  toMatchNmse(actual: Numbers, expected: Numbers, bound: number) {
    const measured = nmse(actual, expected);
    const test = TestRunner.getCurrentTest();
    if (test && !this.isNot) (test.meta.comparisons ??= []).push({ measured, bound });
    const { index, count } = worst(actual, expected);
    return {
      pass: measured <= bound,
      message: () =>
        `expected NMSE ${this.isNot ? 'over' : 'of at most'} ${bound}, measured ${measured.toExponential(3)} ` +
        `over ${expected.length} values; largest difference at index ${index}: ` +
        `${actual[index]} instead of ${expected[index]}` +
        (count === 0 ? '' : `; ${count} differences are not numbers`),
    };
  },
});

declare module 'vitest' {
  interface TaskMeta {
    /** What the test compared so far; tools/support-table.ts counts them. */
    comparisons?: { readonly measured: number; readonly bound: number }[];
  }
  interface Matchers {
    /** Passes if the NMSE against `expected` is at most `bound`; never for NaN. Throws for different lengths. */
    toMatchNmse(expected: Numbers, bound: number): void;
  }
}
