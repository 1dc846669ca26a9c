/**
 * @file What only Node and Deno have. `#node-platform` is this module there, and no-node.ts everywhere else: the package's
 * `imports` say so, so that what is bundled for pages holds nothing of Node.
 */
import type { FoundGpu, GpuChoice, Missing } from './gpu.ts';
import { nodeThreads, type NodeThreads } from './node-threads.ts';
import type * as NodeModel from './node-model.ts';
import type { TuningFiles } from './tuning-store.ts';

/** Node's half of the files beside this one. */
export interface NodePlatform {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Threads, but in Deno, which has Web Workers as pages do. */
  readonly threads: NodeThreads | undefined;
  models(): Promise<typeof NodeModel>;
  /** Small files in the user's cache folder. */
  cacheFiles(): Promise<TuningFiles>;
  /** Dawn, through the package `webgpu`. */
  gpu(choice: GpuChoice): Promise<FoundGpu | Missing>;
}

export const node: NodePlatform | undefined = {
  get env() {
    return process.env;
  },
  threads: typeof Reflect.get(globalThis, 'Deno') === 'undefined' ? nodeThreads : undefined,
  models: () => import('./node-model.ts'),
  cacheFiles: async () => (await import('./node-cache-files.ts')).nodeCacheFiles(process.env),
  gpu: async (choice) => (await import('./node-gpu.ts')).nodeGpu(choice),
};
