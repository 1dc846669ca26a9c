/** @file Bundles a test program with the library, as `npm run build` builds the library, dependencies included. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsdown';
import builds from '../../tsdown.config.ts';

/** A folder of modules, to be removed after use. */
export interface Bundle {
  readonly folder: string;
  remove(): Promise<void>;
}

/** What `#node-platform` stands for in a runtime, as package.json's `imports` have it. */
const PLATFORMS = { deno: 'src/platform/node-platform.ts', page: 'src/platform/no-node.ts' } as const;

/** Before tsconfig.json's paths, which have Node's. */
function platformPlugin(runtime: keyof typeof PLATFORMS): {
  name: string;
  resolveId(id: string): string | undefined;
} {
  const path = fileURLToPath(new URL(`../../${PLATFORMS[runtime]}`, import.meta.url));
  return { name: 'platform', resolveId: (id) => (id === '#node-platform' ? path : undefined) };
}

/** Bundles an entry given by its path below test/ for a runtime; it becomes `program.js` in a new temporary folder. */
export async function bundle(entry: string, runtime: keyof typeof PLATFORMS): Promise<Bundle> {
  const library = builds.find(({ name }) => name === 'calotype');
  if (!library) throw new Error('tsdown.config.ts has no build of the library');
  const folder = await mkdtemp(join(tmpdir(), 'calotype-bundle-'));
  await build({
    ...library,
    config: false,
    // The library's other entries (workers) are loaded by their names beside it.
    entry: {
      ...(typeof library.entry === 'object' && !Array.isArray(library.entry) ? library.entry : {}),
      program: fileURLToPath(new URL(`../${entry}`, import.meta.url)),
    },
    outDir: folder,
    clean: false,
    dts: false,
    publint: false,
    logLevel: 'error',
    plugins: [platformPlugin(runtime), library.plugins],
    deps: { neverBundle: [/^node:/, 'webgpu'], alwaysBundle: [/.*/] },
  });
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}
