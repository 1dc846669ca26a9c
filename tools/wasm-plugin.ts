/**
 * @file Build plugin for tsdown and Vitest: compiles `wasm/` with AssemblyScript.
 *
 * `import base64 from 'wasm:simd128'` and `'wasm:relaxed-simd'` give the two builds as base64 text, which works in
 * pages, Node, Deno and every bundler alike. A library build also leaves them as files, to be inspected. Compiled modules are
 * kept under node_modules/.cache, by a hash of all that they depend on.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main, version } from './asc.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache/calotype-wasm');

/** The builds, and the WebAssembly features that each needs besides threads. */
const BUILDS = {
  simd128: ['simd'],
  'relaxed-simd': ['simd', 'relaxed-simd'],
} as const;
type Build = keyof typeof BUILDS;

/** The most that a build may weigh. */
const MAX_BYTES = 200 * 1024;

const OPTIONS = [
  '-O3',
  '--runtime=stub',
  '--enable=threads',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory=1',
  '--maximumMemory=65536',
  '--exportTable',
  '--noAssert',
  '--noExportMemory',
];

/** All sources by path under wasm/, in a fixed order. */
async function readSources(): Promise<Map<string, string>> {
  const names = await readdir(join(ROOT, 'wasm'), { recursive: true });
  const paths = names.filter((name) => name.endsWith('.ts')).sort();
  return new Map(
    await Promise.all(
      paths.map(async (path) => [path, await readFile(join(ROOT, 'wasm', path), 'utf8')] as const),
    ),
  );
}

/** One build's bytes, from the cache if the same sources were compiled before. */
export async function compileWasm(build: Build): Promise<Uint8Array> {
  const sources = await readSources();
  const flags = [...OPTIONS, ...BUILDS[build].map((feature) => `--enable=${feature}`)];
  const hash = createHash('sha256')
    .update(JSON.stringify([version, flags, [...sources]]))
    .digest('hex');
  const cached = join(CACHE, `${build}-${hash.slice(0, 16)}.wasm`);
  try {
    return await readFile(cached);
  } catch {
    const bytes = await compileSources(sources, flags);
    await mkdir(CACHE, { recursive: true });
    const partial = `${cached}.${randomUUID()}`;
    await writeFile(partial, bytes);
    await rename(partial, cached);
    return bytes;
  }
}

async function compileSources(
  sources: ReadonlyMap<string, string>,
  flags: readonly string[],
): Promise<Uint8Array> {
  // What every file but those of lib/ exports is exported by the module.
  const entries = [...sources.keys()].filter((path) => !path.startsWith('lib/'));
  let output: Uint8Array | undefined;
  const messages: string[] = [];
  const { error } = await main([...entries, '--outFile=kernels.wasm', ...flags], {
    readFile: (name) => sources.get(name.replaceAll('\\', '/')) ?? null,
    writeFile(_name, contents) {
      if (typeof contents !== 'string') output = contents;
    },
    listFiles: () => [],
    stderr: { write: (text) => void messages.push(String(text)) },
  });
  if (error || !output) throw new Error(`AssemblyScript: ${messages.join('') || String(error)}`);
  if (output.length > MAX_BYTES)
    throw new Error(`the kernels take ${output.length} bytes of WebAssembly, more than ${MAX_BYTES}`);
  return output;
}

const PREFIX = '\0wasm:';

function isBuild(name: string): name is Build {
  return Object.hasOwn(BUILDS, name);
}

/** A plugin in the form that both bundlers accept. */
export const wasm = {
  name: 'wasm',
  resolveId: {
    filter: { id: /^wasm:/ },
    handler: (id: string): string => `\0${id}`,
  },
  load: {
    filter: { id: /^\0wasm:/ },
    async handler(id: string): Promise<{ code: string; moduleType: 'js' }> {
      const build = id.slice(PREFIX.length);
      if (!isBuild(build)) throw new Error(`there is no build "${build}" of the WebAssembly kernels`);
      const base64 = Buffer.from(await compileWasm(build)).toString('base64');
      return { code: `export default ${JSON.stringify(base64)};`, moduleType: 'js' };
    },
  },
  /** Beside the library, for people: nothing loads these files. */
  async generateBundle(this: AssetEmitter): Promise<void> {
    for (const build of Object.keys(BUILDS).filter(isBuild))
      this.emitFile({ type: 'asset', fileName: `${build}.wasm`, source: await compileWasm(build) });
  },
};

/** What both bundlers give to `generateBundle`. */
interface AssetEmitter {
  emitFile(file: { type: 'asset'; fileName: string; source: Uint8Array }): string;
}
