/** @file The CUDA backend, which is a package of its own: nothing but this imports it. */
import { existsSync } from 'node:fs';
import type { BackendFactory } from '../backends/backend.ts';

/** The package, by a name that bundlers do not follow: it is optional. */
const PACKAGE: string = '@calotype/cuda';

/** Whether it is worth saying why the CUDA backend cannot be used. */
export function hasNvidiaDriver(): boolean {
  return existsSync('/dev/nvidiactl');
}

/** What that package's `cuda` is asked for here; see its own documentation. */
export interface CudaPackageOptions {
  readonly device?: number;
  readonly int8?: 'dynamic';
  readonly fp8?: 'dynamic';
}

/** `cuda(options)` of the package `@calotype/cuda`, if that is installed. */
export function cuda(cudaOptions: CudaPackageOptions = {}): BackendFactory {
  return {
    name: 'cuda',
    async open(options) {
      let library: unknown;
      try {
        library = await import(PACKAGE);
      } catch (error) {
        const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
        return { backend: 'cuda', reason, remedy: 'Run "npm install @calotype/cuda"' };
      }
      if (!isLibrary(library))
        return {
          backend: 'cuda',
          reason: 'the installed @calotype/cuda is not of this version',
          remedy: 'Run "npm install @calotype/cuda@latest calotype@latest"',
        };
      return library.cuda(cudaOptions).open(options);
    },
  };
}

function isLibrary(module: unknown): module is { cuda(options: CudaPackageOptions): BackendFactory } {
  return typeof module === 'object' && module !== null && typeof Reflect.get(module, 'cuda') === 'function';
}
