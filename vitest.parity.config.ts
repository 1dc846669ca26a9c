/** @file `npm run parity`: long comparisons with diffusers, on the backend named by CALOTYPE_BACKEND (webgpu). */
import { defineConfig, mergeConfig } from 'vitest/config';
import config from './vitest.config.ts';

export default mergeConfig(
  config,
  defineConfig({
    test: { include: ['test/parity/*.parity.ts'], testTimeout: 3_600_000, hookTimeout: 600_000 },
  }),
);
