/** @file `npm run parity`: long comparisons with diffusers, on the backend named by CALOTYPE_BACKEND (webgpu). */
import { defineConfig } from 'vitest/config';
import config from './vitest.config.ts';

export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: ['test/parity/*.parity.ts'],
    testTimeout: 3_600_000,
    hookTimeout: 600_000,
  },
});
