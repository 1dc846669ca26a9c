/** @file Finds the WebGPU entry point of this runtime: `navigator.gpu` in pages and Deno, Dawn in Node. */

import { later } from '../later.ts';
import { node } from '#node-platform';

/** Why there is nothing, and what to do about it. */
export interface Missing {
  readonly reason: string;
  readonly remedy: string;
}

/** A WebGPU entry point, and what it means here if it offers no adapter. */
export interface FoundGpu {
  readonly gpu: GPU;
  readonly noAdapter: () => Missing | Promise<Missing>;
}

function isGpu(value: unknown): value is GPU {
  return typeof value === 'object' && value !== null && 'requestAdapter' in value;
}

/** `navigator.gpu`, in pages, workers and Deno. */
function navigatorGpu(): GPU | undefined {
  const navigator: unknown = Reflect.get(globalThis, 'navigator');
  const gpu: unknown =
    typeof navigator === 'object' && navigator !== null ? Reflect.get(navigator, 'gpu') : undefined;
  return isGpu(gpu) ? gpu : undefined;
}

/** Which entry point, where the runtime leaves a choice. */
export interface GpuChoice {
  /** Dawn's, for Node. */
  readonly toggles?: readonly string[];
  /** A part of the adapter's name, for Node. */
  readonly adapterName?: string;
}

/** The entry point of this runtime. */
export async function findGpu(choice: GpuChoice = {}): Promise<FoundGpu | Missing> {
  const gpu = navigatorGpu();
  if (gpu && choice.adapterName !== undefined) return missingGpu('choice');
  if (gpu) return { gpu, noAdapter: () => missingGpu('adapter') };
  return node ? node.gpu(choice) : missingGpu('webgpu');
}

/** What is said of a GPU that is not there; it is loaded where it is said. */
export async function missingGpu(what: 'choice' | 'adapter' | 'webgpu' | 'own'): Promise<Missing> {
  return (await later('missing GPUs', () => import('./missing-gpu.ts'))).MISSING_GPU[what];
}
