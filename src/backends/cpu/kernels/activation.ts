/** @file The numbers by which WebAssembly kernels know activations (`activate` in wasm/lib/math.ts). */

import type { Activation } from '../../../graph/op.ts';

const ACTIVATIONS: readonly Activation[] = [
  'none',
  'relu',
  'silu',
  'gelu',
  'quick_gelu',
  'tanh',
  'gelu_tanh',
];

/** The number of an activation; 0 for none. */
export function activationCode(activation: Activation): number {
  return ACTIVATIONS.indexOf(activation);
}
