/**
 * @file Brings the native half out of its platform package and loads it; it loads where there is no driver.
 *
 * The package holds it compressed, with a manifest. It is unpacked once into the cache and checked by hash on every use,
 * since a half-written shared library would crash the process that loads it.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import type { BackendAttempt } from 'calotype';
import * as v from 'valibot';
import type { NativeCuda } from './native.ts';

/** The compressed library and its manifest in a platform package. */
export const LIBRARY_FILE = 'calotype-cuda.node.br';
export const MANIFEST_FILE = 'manifest.json';

/** What is built and from what: SHA-256 of the library, not compressed, and of all its sources (tools/sources.ts). */
export const manifestSchema = v.strictObject({
  library: v.pipe(v.string(), v.hash(['sha256'])),
  sources: v.pipe(v.string(), v.hash(['sha256'])),
});

/** The platforms that there are packages for. */
const PLATFORMS = ['linux-x64'];

const require = createRequire(import.meta.url);

/** The native half, or why it cannot be had here. */
export async function loadLibrary(
  platform = `${process.platform}-${process.arch}`,
  cache = cacheDirectory(),
): Promise<NativeCuda | BackendAttempt> {
  if (!PLATFORMS.includes(platform))
    return attempt(
      `there is no build for ${platform}, only for ${PLATFORMS.join(', ')}`,
      'Use webgpu or cpu here',
    );
  let folder: string;
  try {
    folder = dirname(require.resolve(`@calotype/cuda-${platform}/package.json`));
  } catch {
    return attempt(
      `the package @calotype/cuda-${platform} is not installed`,
      'Run `npm install` again, without --omit=optional',
    );
  }
  let path: string;
  try {
    path = await unpackLibrary(folder, cache);
  } catch (error) {
    return attempt(
      `its library could not be unpacked: ${messageOf(error)}`,
      `Make sure that ${cache} can be written (XDG_CACHE_HOME moves it) and run \`npm install\` again`,
    );
  }
  try {
    return require(path) as NativeCuda;
  } catch (error) {
    return attempt(
      `its library could not be loaded: ${messageOf(error)}`,
      'Use a system with glibc 2.35 or later (Ubuntu 22.04, Debian 12), and in Deno --allow-ffi',
    );
  }
}

/**
 * Unpacks the library of a platform package if it is not there yet, or not whole.
 * @returns its path in the cache
 */
export async function unpackLibrary(folder: string, cache: string): Promise<string> {
  const manifest = v.parse(manifestSchema, JSON.parse(await readFile(join(folder, MANIFEST_FILE), 'utf8')));
  const path = join(cache, `calotype-cuda-${manifest.library.slice(0, 16)}.node`);
  if (await isWhole(path, manifest.library)) return path;
  const library = await promisify(brotliDecompress)(await readFile(join(folder, LIBRARY_FILE)));
  if (sha256(library) !== manifest.library) throw new Error(`${LIBRARY_FILE} is damaged`);
  // 0700: this file is loaded as code.
  await mkdir(cache, { recursive: true, mode: 0o700 });
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    await writeFile(partial, library, { mode: 0o700 });
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
  return path;
}

async function isWhole(path: string, hash: string): Promise<boolean> {
  try {
    return sha256(await readFile(path)) === hash;
  } catch {
    // Missing or unreadable: it has to be unpacked (again).
    return false;
  }
}

/** `$XDG_CACHE_HOME/calotype`, or `~/.cache/calotype` (XDG base directory specification: relative values are ignored). */
export function cacheDirectory(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'calotype');
}

/** Why this backend cannot be had, and what can be done about it. */
export function attempt(reason: string, remedy: string): BackendAttempt {
  return { backend: 'cuda', reason, remedy };
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
