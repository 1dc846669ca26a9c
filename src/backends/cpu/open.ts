/** @file Opens the CPU backend: picks the build that this runtime accepts, and starts its threads. */

import { DeviceLostError, type BackendAttempt } from '../../errors.ts';
import { canShareMemory, parallelism } from '../../platform/threads.ts';
import type { Backend } from '../backend.ts';
import { compileProgram } from './compile.ts';
import type { CpuOptions } from './cpu.ts';
import { demandOf } from './demand.ts';
import { openEngine, type Engine } from './engine.ts';
import { bestBuild, compileKernels, type SimdBuild } from './module.ts';
import { measurePeak } from './peak.ts';
import { targetFor } from './target.ts';
import { CpuWeights } from './weights.ts';

/**
 * All threads that the machine runs at once, hyper-threads included, as a second thread of a core gains little but costs
 * nothing. The starter's step on 16 Xeon cores: 359 ms with 1 thread, 178 with 2, 102 with 4, 63 with 8, 42 with 16;
 * more have not been measured. Two threads held to one core took no longer than one.
 */
const MAX_DEFAULT_THREADS = 16;

/** Opens it, or says why it cannot be had. */
export async function openCpu(
  options: CpuOptions,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<Backend | BackendAttempt> {
  const { threads } = options;
  signal?.throwIfAborted();
  const best = typeof WebAssembly === 'object' ? bestBuild() : undefined;
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
    const count = threads ?? Math.min(parallelism(), MAX_DEFAULT_THREADS);
    return createBackend(await open(count), build);
  } catch (error) {
    if (!(error instanceof DeviceLostError)) throw error;
    if (threads === undefined) return createBackend(await open(0), build, error.message);
    return { backend: 'cpu', reason: error.message, remedy: error.remedy };
  }
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
    isHost: true,
    createWeights: (reader) => new CpuWeights(engine, reader),
    demand: demandOf,
    memory: engine.memory.meter,
    compile: (plan, compileOptions) => compileProgram(engine, plan, compileOptions),
    idle: () => engine.enqueue(() => undefined),
    measurePeak: async () => ({ flops: await measurePeak(engine) }),
    dispose: () => engine.dispose(),
  };
}
