/** @file The CUDA backend, which is a package of its own: nothing but this imports it. */
import { existsSync } from 'node:fs';
import type { BackendFactory } from '../backends/backend.ts';
import type { BackendAttempt } from '../errors.ts';

/** The package, by a name that bundlers do not follow: it is optional. */
const PACKAGE: string = '@calotype/cuda';

/** Whether it is worth saying why the CUDA backend cannot be used. */
export function hasNvidiaDriver(): boolean {
  return existsSync('/dev/nvidiactl');
}

/** What that package's `cuda` is asked for here; see its own documentation. */
export interface CudaPackageOptions {
  readonly device?: number | string;
  readonly int8?: 'dynamic';
  readonly fp8?: 'dynamic';
}

/** A card, as that package tells it. */
export interface CudaCard {
  /** The option `device`. */
  readonly device: number;
  readonly name: string;
  /** What nvidia-smi and CUDA_VISIBLE_DEVICES call it; the option takes it, too. */
  readonly uuid: string;
  /** Compute capability. */
  readonly major: number;
  readonly minor: number;
  readonly totalBytes: number;
}

interface CudaPackage {
  cuda(options: CudaPackageOptions): BackendFactory;
  cudaDevices(): Promise<readonly CudaCard[] | BackendAttempt>;
}

/** `cuda(options)` of the package `@calotype/cuda`, if that is installed. */
export function cuda(cudaOptions: CudaPackageOptions = {}): BackendFactory {
  return {
    name: 'cuda',
    async open(options) {
      const library = await loadPackage();
      return 'reason' in library ? library : library.cuda(cudaOptions).open(options);
    },
  };
}

/** `cudaDevices()` of that package: the NVIDIA cards that there are, or why there are none. */
export async function cudaDevices(): Promise<readonly CudaCard[] | BackendAttempt> {
  const library = await loadPackage();
  return 'reason' in library ? library : library.cudaDevices();
}

async function loadPackage(): Promise<CudaPackage | BackendAttempt> {
  let library: unknown;
  try {
    library = await import(PACKAGE);
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    return { backend: 'cuda', reason, remedy: 'Run "npm install @calotype/cuda"' };
  }
  return isPackage(library)
    ? library
    : {
        backend: 'cuda',
        reason: 'the installed @calotype/cuda is not of this version',
        remedy: 'Run "npm install @calotype/cuda@latest calotype@latest"',
      };
}

function isPackage(module: unknown): module is CudaPackage {
  return (
    typeof module === 'object' &&
    module !== null &&
    ['cuda', 'cudaDevices'].every((name) => typeof Reflect.get(module, name) === 'function')
  );
}
