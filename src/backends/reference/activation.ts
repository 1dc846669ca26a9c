/** @file Activation functions in float64. */

import type { Activation } from '../../graph/op.ts';

/**
 * The error function by its series erf(x) = 2 / sqrt(pi) * exp(-x^2) * sum_n 2^n x^(2n + 1) / (1 * 3 * ... * (2n + 1))
 * (Abramowitz and Stegun 7.1.6). All terms have one sign, so nothing cancels: the absolute error is below 1e-15.
 * From |x| = 6 on it is +-1 to the last bit of float64.
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** gelu(x) = x * Phi(x), the exact form. */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
}

/** The activation functions by name. */
export const ACTIVATIONS = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  silu: (x) => x * sigmoid(x),
  gelu,
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  tanh: Math.tanh,
  // (1 + tanh(u)) / 2 is sigmoid(2 u), which does not cancel.
  gelu_tanh: (x) => x * sigmoid(Math.sqrt(8 / Math.PI) * (x + 0.044715 * x ** 3)),
} satisfies { readonly [A in Activation]: (x: number) => number };
