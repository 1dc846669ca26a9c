/**
 * @file `npm run build:cuda`: builds the native half for the platform package, from kernels, addon and CUDA's runtime.
 *
 * Needs g++ and Python 3 with pip, x86-64 Linux, and neither a GPU nor a driver. Objects are kept by a hash of what they
 * are made of.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { hashSources } from './sources.ts';
import { installToolkit, type Toolkit } from './toolkit.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const OBJECTS = join(ROOT, '.objects');
const PACKAGE = join(ROOT, 'linux-x64');

/** The most that the compressed library may weigh. */
const MAX_BYTES = 20 * 2 ** 20;

const HOST_FLAGS = ['-O2', '-fPIC', '-fvisibility=hidden', '-fno-gnu-unique'];

/** Machine code for Ampere and Ada (sm_80) and for Hopper (sm_90a), and PTX that later cards' drivers compile. */
const DEVICE_FLAGS = [
  '-O3',
  '--expt-relaxed-constexpr',
  '-Wno-deprecated-gpu-targets',
  '-gencode=arch=compute_80,code=sm_80',
  '-gencode=arch=compute_80,code=compute_80',
  '-gencode=arch=compute_90a,code=sm_90a',
  // The package is compressed as a whole, and better.
  '--no-compress',
  `-Xcompiler=${HOST_FLAGS.join(',')}`,
];

/** Exports what Node looks for, and nothing else of the libraries that are linked in. */
const EXPORTS = '{ global: napi_register_module_v1; node_api_module_get_api_version_v1; local: *; };\n';

/** A source and the command that compiles it to an object. */
interface Step {
  readonly source: string;
  readonly command: string;
  readonly flags: readonly string[];
}

async function steps({ nvcc, include }: Toolkit): Promise<Step[]> {
  const nodeHeaders = join(dirname(createRequire(import.meta.url).resolve('node-api-headers')), 'include');
  const includes = [...include, join(ROOT, 'kernels')].map((folder) => `-I${folder}`);
  const sources = async (folder: string, extension: string): Promise<string[]> =>
    (await readdir(join(ROOT, folder)))
      .filter((name) => name.endsWith(extension))
      .map((name) => join(ROOT, folder, name));
  const kernels = (await sources('kernels', '.cu')).map((source) => ({
    source,
    command: nvcc,
    flags: ['-std=c++17', ...DEVICE_FLAGS, ...includes],
  }));
  const addon = (await sources('addon', '.cc')).map((source) => ({
    source,
    command: process.env['CXX'] ?? 'g++',
    flags: [
      '-std=c++17',
      '-Wall',
      '-Wextra',
      '-DNAPI_VERSION=8',
      ...HOST_FLAGS,
      ...includes,
      `-I${nodeHeaders}`,
    ],
  }));
  return [...kernels, ...addon];
}

/** The text of a source and of all it includes of this package. */
async function textOf(path: string, seen = new Set<string>()): Promise<string> {
  if (seen.has(path)) return '';
  seen.add(path);
  const text = await readFile(path, 'utf8');
  const texts = [path, text];
  for (const [, name] of text.matchAll(/^#include "(.+)"/gm)) {
    const beside = join(dirname(path), name);
    texts.push(await textOf(existsSync(beside) ? beside : join(ROOT, 'kernels', name), seen));
  }
  return texts.join('\0');
}

async function compile({ source, command, flags }: Step): Promise<string> {
  // Paths are told from the checkout, so that objects may be copied from one to another.
  const made = JSON.stringify([flags, await textOf(source)]).replaceAll(dirname(ROOT), '');
  const key = createHash('sha256').update(made).digest('hex');
  const object = join(OBJECTS, `${basename(source)}-${key.slice(0, 16)}.o`);
  if (existsSync(object)) return object;
  const begin = performance.now();
  await run(command, [...flags, '-c', source, '-o', object], { maxBuffer: 2 ** 26 });
  process.stdout.write(`${basename(source)}: ${((performance.now() - begin) / 1000).toFixed(1)} s\n`);
  return object;
}

/** Compiles on all cores, the largest sources first: they take longest. */
async function compileAll(all: readonly Step[]): Promise<string[]> {
  const sized = await Promise.all(
    all.map(async (step) => ({ step, size: (await readFile(step.source)).length })),
  );
  const waiting = sized.sort((a, b) => b.size - a.size).map(({ step }) => step);
  const objects: string[] = [];
  const worker = async (): Promise<void> => {
    for (let step = waiting.shift(); step; step = waiting.shift()) objects.push(await compile(step));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return objects.sort();
}

async function link(objects: readonly string[], { runtime }: Toolkit): Promise<Buffer> {
  const library = join(OBJECTS, 'calotype-cuda.node');
  const exports = join(OBJECTS, 'exports.map');
  await writeFile(exports, EXPORTS);
  await run(process.env['CXX'] ?? 'g++', [
    '-shared',
    '-s',
    '-o',
    library,
    ...objects,
    runtime,
    '-static-libstdc++',
    '-static-libgcc',
    `-Wl,--version-script=${exports}`,
    '-lrt',
    '-ldl',
    '-lpthread',
  ]);
  return readFile(library);
}

const toolkit = await installToolkit(join(ROOT, '.toolkit'));
await mkdir(OBJECTS, { recursive: true });
const library = await link(await compileAll(await steps(toolkit)), toolkit);
const compressed = await promisify(brotliCompress)(library, {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: library.length,
  },
});
if (compressed.length > MAX_BYTES)
  throw new Error(`the library takes ${compressed.length} bytes, more than ${MAX_BYTES}`);
const manifest = {
  library: createHash('sha256').update(library).digest('hex'),
  sources: await hashSources(ROOT),
};
await writeFile(join(PACKAGE, 'calotype-cuda.node.br'), compressed);
await writeFile(join(PACKAGE, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
process.stdout.write(`linux-x64: ${library.length} bytes, ${compressed.length} compressed\n`);
