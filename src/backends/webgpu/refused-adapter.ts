/** @file Why an adapter is not taken, and what to do about it. */

import type { BackendAttempt } from '../../errors.ts';

/** Adapters that are not taken. */
export type Refusal = 'computes nothing' | 'is software' | 'is a GPU' | 'gives no device' | 'has no int8';

/** @param cause why it gives no device */
export function refusedAdapter(refusal: Refusal, name: string, cause?: unknown): BackendAttempt {
  return { backend: 'webgpu', ...sentences(refusal, name, cause) };
}

function sentences(
  refusal: Refusal,
  name: string,
  cause: unknown,
): Pick<BackendAttempt, 'reason' | 'remedy'> {
  switch (refusal) {
    case 'computes nothing':
      return {
        reason: "Dawn's null backend computes nothing",
        remedy: 'Remove backend=null from the toggles',
      };
    case 'is software':
      return {
        reason: `the only adapter computes on the CPU (${name})`,
        remedy: "Use webgpu({ adapter: 'software' }) if that is meant, or install a GPU driver with Vulkan",
      };
    case 'is a GPU':
      return { reason: `the only adapter is a GPU (${name})`, remedy: 'Use webgpu() for GPUs' };
    case 'gives no device':
      return {
        reason: `${name} gives no device (${cause instanceof Error ? cause.message : String(cause)})`,
        remedy: 'Close other programs that use the GPU, or update its driver',
      };
    case 'has no int8':
      return {
        reason: `${name} has no products of packed bytes (packed_4x8_integer_dot_product)`,
        remedy: 'Leave int8 out',
      };
  }
}
