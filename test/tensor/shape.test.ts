/** @file Symbolic dimensions: their normal form must evaluate as the expression does, and be equal when it is. */

import { describe, expect, it } from 'vitest';
import {
  addDims,
  bindDim,
  bindShape,
  concrete,
  floorDivDim,
  formatShape,
  mulDims,
  sameDim,
  sameShape,
  sizeOf,
  symbol,
  type Bindings,
  type Dim,
} from '../../src/tensor/shape.ts';
import { seededRandom } from '../cases/case.ts';

/** An expression twice: as a dimension, and as the arithmetic it stands for. */
interface Expression {
  readonly dim: Dim;
  readonly evaluate: (bindings: Bindings) => number;
}

const NAMES = ['batch', 'height', 'width'];

/** A random expression of sums, products and floored divisions, of at most `depth` levels. */
function randomExpression(random: () => number, depth: number): Expression {
  const below = (n: number): number => Math.floor(random() * n);
  const kind = depth === 0 ? below(2) : below(5);
  if (kind === 0) {
    const value = below(9) - 4;
    return { dim: value, evaluate: () => value };
  }
  if (kind === 1) {
    const name = NAMES[below(NAMES.length)];
    return { dim: symbol(name), evaluate: (bindings) => bindings[name] };
  }
  const a = randomExpression(random, depth - 1);
  if (kind === 4) {
    const divisor = 1 + below(8);
    return {
      dim: floorDivDim(a.dim, divisor),
      evaluate: (bindings) => Math.floor(a.evaluate(bindings) / divisor),
    };
  }
  const b = randomExpression(random, depth - 1);
  return kind === 2
    ? { dim: addDims(a.dim, b.dim), evaluate: (bindings) => a.evaluate(bindings) + b.evaluate(bindings) }
    : { dim: mulDims(a.dim, b.dim), evaluate: (bindings) => a.evaluate(bindings) * b.evaluate(bindings) };
}

const randomBindings = (random: () => number): Bindings =>
  Object.fromEntries(NAMES.map((name) => [name, 1 + Math.floor(random() * 20)]));

const [h, w, n] = [symbol('height'), symbol('width'), symbol('batch')];

/** Output size of a convolution. */
const conv = (size: Dim, kernel: number, padding: number, stride: number): Dim =>
  addDims(floorDivDim(addDims(size, padding - kernel), stride), 1);

describe('bindDim', () => {
  it('equals direct evaluation for 2000 random expressions', () => {
    const random = seededRandom('bind');
    let symbolic = 0;
    for (let i = 0; i < 2000; i++) {
      const { dim, evaluate } = randomExpression(random, 4);
      if (typeof dim !== 'number') symbolic++;
      for (let j = 0; j < 3; j++) {
        const bindings = randomBindings(random);
        // + 0 makes -0, which products of 0 and a negative give, 0.
        expect([formatShape([dim]), bindDim(dim, bindings) + 0]).toEqual([
          formatShape([dim]),
          evaluate(bindings) + 0,
        ]);
      }
    }
    expect(symbolic).toBeGreaterThan(1000);
  });

  it('throws for a symbol without a value', () => {
    expect(() => bindDim(addDims(h, floorDivDim(w, 2)), { height: 4 })).toThrow(RangeError);
    expect(() => concrete([1, h])).toThrow(/height/);
    expect(bindShape([n, addDims(h, 1), 3], { batch: 2, height: 7 })).toEqual([2, 8, 3]);
  });
});

describe('normal form', () => {
  it('never calls different dimensions equal, over 300 random expressions', () => {
    const random = seededRandom('equal');
    const samples = Array.from({ length: 8 }, () => randomBindings(random));
    const valuesByKey = new Map<string, string>();
    for (let i = 0; i < 300; i++) {
      const { dim, evaluate } = randomExpression(random, 3);
      const key = typeof dim === 'number' ? String(dim) : dim.key;
      const values = samples.map((bindings) => evaluate(bindings) + 0).join();
      expect([key, valuesByKey.get(key) ?? values]).toEqual([key, values]);
      valuesByKey.set(key, values);
    }
    expect(valuesByKey.size).toBeGreaterThan(100);
  });

  it('is the same however sums and products are built, over 300 random triples', () => {
    const random = seededRandom('laws');
    for (let i = 0; i < 300; i++) {
      const [a, b, c] = [3, 3, 3].map((depth) => randomExpression(random, depth).dim);
      expect(sameDim(addDims(a, b), addDims(b, a))).toBe(true);
      expect(sameDim(addDims(a, addDims(b, c)), addDims(addDims(a, b), c))).toBe(true);
      expect(sameDim(mulDims(a, b), mulDims(b, a))).toBe(true);
      expect(sameDim(mulDims(a, mulDims(b, c)), mulDims(mulDims(a, b), c))).toBe(true);
      expect(sameDim(mulDims(a, addDims(b, c)), addDims(mulDims(a, b), mulDims(a, c)))).toBe(true);
      expect(sameDim(addDims(a, mulDims(-1, a)), 0)).toBe(true);
      expect(sameDim(floorDivDim(addDims(mulDims(4, a), b), 4), addDims(a, floorDivDim(b, 4)))).toBe(true);
    }
  });

  it('agrees for the sizes of stride-2 convolutions', () => {
    // 3x3 with padding 1 on both sides rounds up; with padding after only, down.
    expect(sameDim(conv(h, 3, 2, 2), floorDivDim(addDims(h, 1), 2))).toBe(true);
    expect(sameDim(conv(h, 3, 1, 2), floorDivDim(h, 2))).toBe(true);
    expect(sameDim(conv(h, 3, 2, 2), conv(h, 3, 1, 2))).toBe(false);
    expect(sameDim(conv(h, 1, 0, 1), h)).toBe(true);
    // Twice the half of an even size is the size; of any size it need not be.
    expect(sameDim(mulDims(2, floorDivDim(mulDims(2, h), 2)), mulDims(2, h))).toBe(true);
    expect(sameDim(mulDims(2, floorDivDim(h, 2)), h)).toBe(false);
    // Three levels of halving, as in a UNet with eight times the size.
    const eight = mulDims(8, h);
    const halved = conv(conv(conv(eight, 3, 2, 2), 3, 2, 2), 3, 2, 2);
    expect(sameDim(halved, h)).toBe(true);
  });

  it('keeps products with rounded factors apart', () => {
    const half = (dim: Dim): Dim => floorDivDim(addDims(dim, 1), 2);
    const pixels = mulDims(half(h), half(w));
    expect(sameDim(pixels, mulDims(half(w), half(h)))).toBe(true);
    expect(sameDim(pixels, half(mulDims(h, w)))).toBe(false);
    expect(bindDim(pixels, { height: 5, width: 7 })).toBe(12);
  });
});

describe('shapes', () => {
  it('are equal dimension by dimension', () => {
    expect(sameShape([n, h], [n, h])).toBe(true);
    expect(sameShape([n, h], [n, w])).toBe(false);
    expect(sameShape([n, h], [n])).toBe(false);
    expect(sameShape([2], [symbol('two')])).toBe(false);
  });

  it('have a size', () => {
    expect(sizeOf([])).toBe(1);
    expect(sizeOf([2, 3, 4])).toBe(24);
    expect(sameDim(sizeOf([n, h, w, 4]), sizeOf([n, mulDims(w, h), 4]))).toBe(true);
  });

  it('print as expressions', () => {
    expect(formatShape([2, h, addDims(mulDims(2, w), 1)])).toBe('[2, height, 1+2*width]');
    expect(formatShape([floorDivDim(mulDims(h, w), 2)])).toBe('[floor[(height*width)/2]]');
  });
});
