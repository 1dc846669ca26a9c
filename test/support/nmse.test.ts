/** @file The measure that all other tests stand on. */
import { describe, expect, test } from 'vitest';
import { nmse } from './nmse.ts';

describe('nmse', () => {
  test('is the squared error over the squared signal', () => {
    expect(nmse([1, 2, 4], [1, 2, 2])).toBeCloseTo(4 / 9, 15);
    expect(nmse(Float32Array.of(3), [2])).toBeCloseTo(1 / 4, 15);
  });

  test('is 0 for equal arrays, zeros included, and infinite for an error without a signal', () => {
    expect(nmse([0, 0], [0, 0])).toBe(0);
    expect(nmse([5, -1], [5, -1])).toBe(0);
    expect(nmse([0, 1e-9], [0, 0])).toBe(Infinity);
  });

  test('throws for arrays that cannot be compared', () => {
    expect(() => nmse([1], [1, 2])).toThrow('1 values were compared with 2');
    expect(() => nmse([], [])).toThrow('nothing to compare');
  });
});

describe('toMatchNmse', () => {
  test('passes within the bound and fails beyond it', () => {
    expect([1, 2.001]).toMatchNmse([1, 2], 1e-6);
    expect([1, 2.1]).not.toMatchNmse([1, 2], 1e-6);
  });

  test.each([
    ['NaN in the result', [1, Number.NaN], [1, 2]],
    ['NaN in both', [1, Number.NaN], [1, Number.NaN]],
    ['infinity in both', [1, Infinity], [1, Infinity]],
    ['infinity in the result', [1, Infinity], [1, 2]],
  ])('never passes with %s', (_, actual, expected) => {
    expect(actual).not.toMatchNmse(expected, Number.MAX_VALUE);
    expect(() => expect(actual).toMatchNmse(expected, 1)).toThrow('expected NMSE');
  });

  test('says how far off it is, and where', () => {
    expect(() => expect([1, 3, 2]).toMatchNmse([1, 2, 2], 1e-6)).toThrow(
      /measured 1\.111e-1 over 3 values; largest difference at index 1: 3 instead of 2/,
    );
    expect(() => expect([1, Number.NaN]).toMatchNmse([1, 2], 1e-6)).toThrow(
      /index 1: NaN.*1 differences are not numbers/,
    );
  });
});
