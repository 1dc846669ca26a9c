/** @file The numbers by which kernels know activations (kernels/lib/activation.cuh). */

import type { Activation, Node } from 'calotype/backend-kit';

const ACTIVATIONS: readonly Activation[] = ['none', 'relu', 'silu', 'gelu', 'quick_gelu', 'tanh'];

/** Whether kernels know the activation that a node ends with, if it has one. */
export function knowsActivation({ attrs }: Node): boolean {
  return !('activation' in attrs) || attrs.activation === 'geglu' || ACTIVATIONS.includes(attrs.activation);
}

/** The number of an activation; 0 for none. */
export function activationCode(activation: Activation): number {
  return ACTIVATIONS.indexOf(activation);
}
