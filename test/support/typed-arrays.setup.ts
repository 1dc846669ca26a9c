/**
 * @file Compares typed arrays by their bytes wherever `toEqual` meets two: element by element, as Vitest does it, takes
 * seconds for the values of a picture.
 */
import { expect } from 'vitest';

expect.addEqualityTesters([
  function equalBytes(a: unknown, b: unknown): boolean | undefined {
    if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
    const [left, right] = [a, b].map((view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength));
    return left.equals(right);
  },
]);
