/**
 * @file Brings a software Vulkan driver (SwiftShader) and a Vulkan loader out of npm, for machines that have neither.
 *
 * Both lie in `@sparticuz/chromium` as a Brotli-compressed tar for x86-64 Linux. They are unpacked once into the cache
 * and checked by hash on every use, since a half-written shared library would crash the process that loads it.
 * The dynamic linker and the Vulkan loader read their paths when a process starts, hence restart.ts.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { BackendUnavailableError } from 'calotype';
import { parseTar } from 'nanotar';
import * as v from 'valibot';
import { cacheDirectory } from './cache.ts';

/** The members of the archive that Dawn needs; the OpenGL libraries beside them are left out. */
const LOADER = 'libvulkan.so.1';
const DRIVER = 'libvk_swiftshader.so';
const DRIVER_MANIFEST = 'vk_swiftshader_icd.json';
const MEMBERS = [LOADER, DRIVER, DRIVER_MANIFEST];

/** Written last, so that its presence says that unpacking came to its end. */
const SUMS = 'sha256.json';
const SumsSchema = v.record(v.string(), v.string());

/** Why this machine cannot use the packaged software adapter, or undefined where it can. */
export function softwareAdapterObstacle(
  platform = process.platform,
  arch = process.arch,
): string | undefined {
  if (platform !== 'linux' || arch !== 'x64')
    return `the packaged SwiftShader is for x86-64 Linux, this is ${platform} ${arch}`;
  try {
    softwareAdapterArchive();
    return undefined;
  } catch {
    return 'the package @sparticuz/chromium, which carries SwiftShader, is not installed';
  }
}

/** The archive inside `@sparticuz/chromium`. */
export function softwareAdapterArchive(): string {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  return join(dirname(entry), '..', '..', 'bin', 'swiftshader.tar.br');
}

/**
 * Unpacks the software adapter if it is not there yet, or not whole.
 *
 * @param archive a Brotli-compressed tar with the driver, its manifest and the Vulkan loader.
 * @param cache the folder that holds one folder for each archive seen.
 * @returns the folder with the three files, checked against the hashes taken when they were unpacked.
 * @throws BackendUnavailableError when the archive is damaged or the cache cannot be written.
 */
export async function unpackSoftwareAdapter(
  archive = softwareAdapterArchive(),
  cache = cacheDirectory(),
): Promise<string> {
  try {
    const packed = await readFile(archive);
    const folder = join(cache, `swiftshader-${sha256(packed).slice(0, 16)}`);
    if (!(await isWhole(folder))) await unpack(packed, folder);
    return folder;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const remedy = `Make sure that ${cache} can be written (XDG_CACHE_HOME moves it) and run \`npm install\` again.`;
    throw new BackendUnavailableError('the software WebGPU adapter could not be unpacked', {
      file: archive,
      remedy,
      attempts: [{ backend: 'webgpu (software)', reason, remedy }],
      cause,
    });
  }
}

/**
 * The environment in which a new process sees the software adapter beside the drivers that the system has.
 *
 * @param folder as unpackSoftwareAdapter returned it.
 * @param env the environment to add to; its own values survive.
 */
export function softwareAdapterEnvironment(
  folder: string,
  env: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const manifest = join(folder, DRIVER_MANIFEST);
  const added: Record<string, string> = { LD_LIBRARY_PATH: joinPaths(folder, env['LD_LIBRARY_PATH']) };
  // The loader reads the first of these that is set, and VK_ADD_DRIVER_FILES only if none of the others is.
  const replacing = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].filter((name) => env[name]);
  for (const name of replacing) added[name] = joinPaths(env[name], manifest);
  if (replacing.length === 0) added['VK_ADD_DRIVER_FILES'] = joinPaths(env['VK_ADD_DRIVER_FILES'], manifest);
  return added;
}

async function unpack(packed: Uint8Array, folder: string): Promise<void> {
  // A copy, because parseTar reads the whole ArrayBuffer under a view.
  const tar = new Uint8Array(await promisify(brotliDecompress)(packed));
  const entries = new Map(parseTar(tar).map((entry) => [entry.name.replace(/^\.\//, ''), entry.data]));
  const partial = `${folder}.${randomUUID()}.partial`;
  try {
    // 0700: these files are loaded as code.
    await mkdir(partial, { recursive: true, mode: 0o700 });
    const sums: Record<string, string> = {};
    for (const name of MEMBERS) {
      const data = entries.get(name);
      if (data === undefined) throw new Error(`the archive has no ${name}`);
      await writeFile(join(partial, name), data);
      sums[name] = sha256(data);
    }
    await writeFile(join(partial, SUMS), JSON.stringify(sums));
    await replaceFolder(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Renames `partial` to `folder`, unless another process was quicker; a damaged folder is moved out of the way. */
async function replaceFolder(partial: string, folder: string): Promise<void> {
  try {
    await rename(partial, folder);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) throw error;
    if (await isWhole(folder)) return;
    const damaged = `${partial}.damaged`;
    await rename(folder, damaged);
    await rm(damaged, { recursive: true, force: true });
    await rename(partial, folder);
  }
}

/** Whether every member is there with the hash that it had when it was unpacked. */
async function isWhole(folder: string): Promise<boolean> {
  try {
    const sums = v.parse(SumsSchema, JSON.parse(await readFile(join(folder, SUMS), 'utf8')));
    const found = await Promise.all(MEMBERS.map(async (name) => sha256(await readFile(join(folder, name)))));
    return MEMBERS.every((name, index) => sums[name] === found[index]);
  } catch {
    // Missing, unreadable or not JSON all mean the same: it has to be unpacked (again).
    return false;
  }
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

const joinPaths = (...paths: readonly (string | undefined)[]): string => paths.filter(Boolean).join(':');

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
