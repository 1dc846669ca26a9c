/** @file Sequences against NumPy and torch, quantiles against SciPy. */
import { describe, expect, test } from 'vitest';
import {
  arange,
  interpolate,
  linspace,
  linspaceF32,
  roundHalfEven,
  solveVandermonde,
} from '../../src/schedulers/arrays.ts';
import { betaQuantile } from '../../src/schedulers/beta-quantile.ts';

test('halves round to even', () => {
  expect([0.5, 1.5, 2.5, 2.4999, 2.5001, 3].map(roundHalfEven)).toEqual([0, 2, 2, 2, 3, 3]);
});

test('linspace holds both ends', () => {
  expect(linspace(0, 1, 5)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect(linspace(3, 9, 1)).toEqual([3]);
  expect(linspaceF32(3, 9, 1)).toEqual(Float32Array.of(3));
});

test("arange can be one longer than it should, as NumPy's", () => {
  expect(arange(1000, 0, -250)).toEqual([1000, 750, 500, 250]);
  expect(arange(1000, 0, -1000 / 61)).toHaveLength(62);
});

test('interpolation is constant beyond the ends', () => {
  expect([-1, 0, 0.25, 1, 2, 5].map((x) => interpolate([10, 20, 40], x))).toEqual([10, 10, 12.5, 20, 40, 40]);
});

test('weights of nodes have the given moments', () => {
  const nodes = [-2, -0.5, 1];
  const moments = [3, -1, 0.25];
  const weights = solveVandermonde(nodes, moments);
  moments.forEach((moment, i) => {
    const sum = weights.reduce((total, weight, k) => total + weight * nodes[k] ** i, 0);
    expect(sum).toBeCloseTo(moment, 12);
  });
  expect(solveVandermonde([3], [7])).toEqual([7]);
});

describe('betaQuantile is scipy.stats.beta.ppf(p, 0.6, 0.6)', () => {
  test.each([
    [0, 0],
    [1e-6, 1.8558824624053043e-10],
    [0.01, 0.0008612388215429059],
    [0.1, 0.03958440558878085],
    [1 / 3, 0.2754132907776234],
    [0.5, 0.5],
    [0.75, 0.824319621347305],
    [0.9, 0.9604155944112192],
    [0.999, 0.9999814412614826],
    [1, 1],
  ])('at %d', (probability, expected) => {
    expect(Math.abs(betaQuantile(probability, 0.6) - expected)).toBeLessThanOrEqual(1e-14 * expected);
  });
});
