/** @file Stopgap by the lead, to be replaced by the WebGPU helper's own file. */
import type { BackendFactory } from '../backend.ts';

/** WebGPU. */
export function webgpu(_options: { readonly adapter?: 'hardware' | 'software' | 'any' } = {}): BackendFactory {
  return { name: 'webgpu', open: () => Promise.resolve({ backend: 'webgpu', reason: 'being written', remedy: 'wait' }) };
}
