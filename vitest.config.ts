/** @file How the tests run. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { wasm } from './tools/wasm-plugin.ts';
import { wgsl } from './tools/wgsl-plugin.ts';

const source = (find: RegExp, path: string) => ({
  find,
  replacement: fileURLToPath(new URL(path, import.meta.url)),
});

export default defineConfig({
  plugins: [wgsl, wasm],
  resolve: {
    // The sources, wherever a workspace asks for a package of this repository by name.
    alias: [
      source(/^#node-platform$/, 'src/platform/node-platform.ts'),
      source(/^calotype$/, 'src/index.ts'),
      source(/^calotype\/node$/, 'src/node.ts'),
      source(/^calotype\/backend-kit$/, 'src/backend-kit.ts'),
      source(/^@calotype\/cuda$/, 'native-cuda/src/index.ts'),
      source(/^@calotype\/server$/, 'server/src/index.ts'),
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/adapters.setup.ts',
    setupFiles: 'test/support/typed-arrays.setup.ts',
    // Dawn's native threads do not survive worker threads being torn down; processes are safe.
    pool: 'forks',
    // Most tests wait for a device or for files half of the time, and Vitest would leave one of two cores idle.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is polled for waits for other processes, which share the cores.
    expect: { poll: { timeout: 20_000 } },
  },
});
