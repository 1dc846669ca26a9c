/** @file How the tests run. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { wasm } from './tools/wasm-plugin.ts';
import { wgsl } from './tools/wgsl-plugin.ts';

export default defineConfig({
  plugins: [wgsl, wasm],
  resolve: {
    // The sources, wherever a workspace asks for a package of this repository by name.
    alias: [
      { find: /^calotype$/, replacement: fileURLToPath(new URL('src/index.ts', import.meta.url)) },
      {
        find: /^calotype\/backend-kit$/,
        replacement: fileURLToPath(new URL('src/backend-kit.ts', import.meta.url)),
      },
      {
        find: /^@calotype\/cuda$/,
        replacement: fileURLToPath(new URL('native-cuda/src/index.ts', import.meta.url)),
      },
      {
        find: /^@calotype\/server$/,
        replacement: fileURLToPath(new URL('server/src/index.ts', import.meta.url)),
      },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/adapters.setup.ts',
    // Dawn's native threads do not survive worker threads being torn down; processes are safe.
    pool: 'forks',
    // Most tests wait for a device or for files half of the time, and Vitest would leave one of two cores idle.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
