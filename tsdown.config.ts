/** @file How the library, the command and the benchmarks are built. */
import { chmod } from 'node:fs/promises';
import { defineConfig } from 'tsdown';
import { wasm } from './tools/wasm-plugin.ts';
import { wgsl } from './tools/wgsl-plugin.ts';

/** What `exports` in package.json names. */
const LIBRARY = {
  index: 'src/index.ts',
  'backend-kit': 'src/backend-kit.ts',
  cpu: 'src/cpu.ts',
  node: 'src/node.ts',
  worker: 'src/worker/index.ts',
};

/**
 * Chunks of the library, each with all that its modules import: what a worker's page loads, and what every drawing does. Parts
 * that are loaded later are chunks beside them. Bundlers of applications keep the chunks of a package whole, and forty
 * small ones compressed a tenth worse.
 */
const CHUNKS = [
  { name: 'page', test: /src\/worker\/diffusion-worker\.ts$/, priority: 1 },
  {
    name: 'core',
    test: /src\/(pipelines\/load\/pipeline-loader|platform\/platform|schedulers\/(alpha|sigma|solver)-scheduler)\.ts$/,
  },
];

export default defineConfig([
  {
    name: 'calotype',
    entry: {
      ...LIBRARY,
      // Workers are started from a file of their own beside the module that starts them.
      'worker-script': 'src/worker/worker-script.ts',
      'cpu-worker': 'src/platform/cpu-worker.js',
      // What `#node-platform` stands for, by package.json's `imports`.
      'node-platform': 'src/platform/node-platform.ts',
      'no-node': 'src/platform/no-node.ts',
    },
    platform: 'neutral',
    target: 'es2022',
    dts: false,
    fixedExtension: false,
    deps: { neverBundle: [/^node:/, '#node-platform'] },
    checks: { pluginTimings: false },
    plugins: [wgsl, wasm],
    outputOptions: { codeSplitting: { groups: CHUNKS } },
  },
  {
    // By itself, since modules and declarations that are built together may end up in one another's chunks.
    name: 'types of calotype',
    entry: LIBRARY,
    platform: 'neutral',
    target: 'es2022',
    dts: { emitDtsOnly: true },
    clean: false,
    publint: true,
    fixedExtension: false,
    deps: { neverBundle: [/^node:/, '#node-platform'] },
    checks: { pluginTimings: false },
    plugins: [wgsl, wasm],
  },
  {
    name: '@calotype/cli',
    cwd: 'cli',
    tsconfig: '../tsconfig.json',
    // Runners of `calotype serve` are processes of their own.
    entry: { main: 'src/main.ts', runner: 'src/runner.ts' },
    platform: 'node',
    target: 'node20',
    dts: false,
    publint: true,
    fixedExtension: false,
    deps: { neverBundle: [/^calotype/, '@calotype/cuda', /^@calotype\/server/] },
    checks: { pluginTimings: false },
    hooks: {
      // npm links the bin before `prepare` builds it, and a checkout may have lost the mode.
      'build:done': () => chmod('cli/bin/calotype.js', 0o755),
    },
  },
  {
    name: '@calotype/cuda',
    cwd: 'native-cuda',
    tsconfig: '../tsconfig.json',
    entry: { index: 'src/index.ts' },
    platform: 'node',
    target: 'node20',
    dts: true,
    publint: true,
    fixedExtension: false,
    deps: { neverBundle: [/^calotype/] },
    checks: { pluginTimings: false },
  },
  {
    name: '@calotype/server',
    cwd: 'server',
    tsconfig: '../tsconfig.json',
    entry: { index: 'src/index.ts', runner: 'src/runner.ts', 'encode-thread': 'src/runner/encode-thread.ts' },
    platform: 'node',
    target: 'node20',
    dts: true,
    publint: true,
    fixedExtension: false,
    deps: { neverBundle: [/^calotype/] },
    checks: { pluginTimings: false },
  },
  {
    name: 'build:cuda',
    entry: { build: 'native-cuda/tools/build.ts', tune: 'native-cuda/tools/tune.ts' },
    outDir: 'native-cuda/tools/dist',
    platform: 'node',
    target: 'node20',
    dts: false,
    fixedExtension: false,
    deps: { neverBundle: [/^calotype/] },
    checks: { pluginTimings: false },
  },
  {
    name: 'bench',
    entry: { run: 'bench/run.ts', profiled: 'bench/profiled.ts' },
    outDir: 'bench/dist',
    platform: 'node',
    target: 'node20',
    dts: false,
    fixedExtension: false,
    deps: { neverBundle: [/^calotype/, 'webgpu'] },
    checks: { pluginTimings: false },
  },
]);
