/** @file The numbers by which kernels know activations (kernels/calotype.h). */

import type { Activation } from 'calotype/backend-kit';

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
