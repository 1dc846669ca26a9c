/** @file The CPU backend: WebAssembly SIMD kernels on worker threads, in Node, pages and Deno. */

import { DeviceLostError, OptionError } from '../../errors.ts';
import { canShareMemory, parallelism } from '../../platform/threads.ts';
import type { Backend, BackendFactory } from '../backend.ts';
import { compileProgram } from './compile.ts';
import { demandOf } from './demand.ts';
import { openEngine, type Engine } from './engine.ts';
import { bestBuild, compileKernels, type SimdBuild } from './module.ts';
import { measurePeak } from './peak.ts';
import { targetFor } from './target.ts';
import { CpuWeights } from './weights.ts';

/** Options of `cpu`. */
export interface CpuOptions {
  /**
   * Worker threads; 0 computes on the calling thread, in slices. Default: as many as the machine runs at once, at most
   * 16, where memory can be shared with workers (Node, Deno, cross-origin isolated pages); else 0.
   */
  readonly threads?: number;
  /** `simd128` leaves fused multiply-adds alone even where there are some. Default: the best that the runtime accepts. */
  readonly simd?: SimdBuild;
  /** The most bytes of memory to use. Default, and most: 4 GiB, all that WebAssembly can address. */
  readonly memoryLimit?: number;
}

/**
 * All threads that the machine runs at once, hyper-threads included, as a second thread of a core gains little but costs
 * nothing. The starter's step on 16 Xeon cores: 359 ms with 1 thread, 178 with 2, 102 with 4, 63 with 8, 42 with 16;
 * more have not been measured. Two threads held to one core took no longer than one.
 */
const MAX_DEFAULT_THREADS = 16;

/** The CPU backend as a factory; see `CpuOptions`. */
export function cpu(options: CpuOptions = {}): BackendFactory {
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 0 && threads <= 256))
    throw new OptionError(`${threads} is not a whole number from 0 to 256`, {
      field: 'threads',
      remedy: 'Leave it out to use all cores',
    });
  return {
    name: 'cpu',
    async open({ signal } = {}) {
      signal?.throwIfAborted();
      const best = typeof WebAssembly === 'object' ? await bestBuild() : undefined;
      if (best === undefined)
        return {
          backend: 'cpu',
          reason: 'this runtime has no WebAssembly SIMD',
          remedy: 'Use a browser of 2023 or later, Node or Deno',
        };
      const build = options.simd ?? best;
      if (build === 'relaxed-simd' && best !== build)
        return {
          backend: 'cpu',
          reason: 'this runtime has no relaxed SIMD',
          remedy: 'Leave out the option simd',
        };
      const module = await compileKernels(build);
      signal?.throwIfAborted();
      const limit = options.memoryLimit === undefined ? {} : { memoryLimit: options.memoryLimit };
      const open = (count: number): Promise<Engine> => openEngine(module, { threads: count, ...limit });
      if (threads === undefined && !canShareMemory())
        return createBackend(await open(0), build, 'memory cannot be shared with workers here');
      try {
        const count = threads ?? Math.min(await parallelism(), MAX_DEFAULT_THREADS);
        return createBackend(await open(count), build);
      } catch (error) {
        if (!(error instanceof DeviceLostError)) throw error;
        if (threads === undefined) return createBackend(await open(0), build, error.message);
        return { backend: 'cpu', reason: error.message, remedy: error.remedy };
      }
    },
  };
}

/** @param why why there are no workers, if that was not asked for */
function createBackend(engine: Engine, build: SimdBuild, why?: string): Backend {
  const { threads } = engine;
  const where =
    threads === 0
      ? `on the calling thread${why === undefined ? '' : ` (${why})`}`
      : `${threads} thread${threads === 1 ? '' : 's'}`;
  return {
    name: 'cpu',
    description: `WebAssembly ${build}, ${where}`,
    dtypes: ['f32'],
    target: targetFor,
    createWeights: (reader) => new CpuWeights(engine, reader),
    demand: demandOf,
    memory: engine.memory.meter,
    compile: (plan, compileOptions) => compileProgram(engine, plan, compileOptions),
    idle: () => engine.enqueue(() => undefined),
    measurePeak: async () => ({ flops: await measurePeak(engine) }),
    dispose: () => engine.dispose(),
  };
}
