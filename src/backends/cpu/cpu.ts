/**
 * @file The CPU backend: WebAssembly SIMD kernels on worker threads, in Node, pages and Deno. Only its options are here; the
 * rest is loaded when it is opened, which most pages with WebGPU never do.
 */

import { later } from '../../later.ts';
import { OptionError } from '../../errors.ts';
import { checkOptionNames } from '../../option-names.ts';
import type { BackendFactory } from '../backend.ts';
import type { SimdBuild } from './module.ts';

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

const OPTIONS = ['threads', 'simd', 'memoryLimit'] as const satisfies readonly (keyof CpuOptions)[];
const BUILDS: readonly SimdBuild[] = ['simd128', 'relaxed-simd'];

/** The CPU backend as a factory; see `CpuOptions`. Throws OptionError for an option that there is not, or out of range. */
export function cpu(options: CpuOptions = {}): BackendFactory {
  checkOptionNames('cpu', options, OPTIONS);
  const { threads, simd, memoryLimit } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 0 && threads <= 256))
    throw new OptionError(`${threads} is not a whole number from 0 to 256`, {
      field: 'threads',
      remedy: 'Leave it out to use all cores',
    });
  if (simd !== undefined && !BUILDS.includes(simd))
    throw new OptionError(`${JSON.stringify(simd)} is no build`, {
      field: 'simd',
      remedy: `Use one of ${BUILDS.join(', ')}, or leave it out`,
    });
  if (memoryLimit !== undefined && !(Number.isInteger(memoryLimit) && memoryLimit > 0))
    throw new OptionError(`${JSON.stringify(memoryLimit)} is no number of bytes`, {
      field: 'memoryLimit',
      remedy: 'Give a positive whole number, or leave it out',
    });
  return {
    name: 'cpu',
    open: async (opening) => (await later('the CPU', () => import('./open.ts'))).openCpu(options, opening),
  };
}
