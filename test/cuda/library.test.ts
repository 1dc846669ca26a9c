/** @file The native half as it is shipped: built from these sources, unpacked whole, loadable without a driver. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as v from 'valibot';
import { cuda } from '../../native-cuda/src/cuda.ts';
import { LAUNCH_TYPES } from '../../native-cuda/src/kernels/index.ts';
import {
  LIBRARY_FILE,
  loadLibrary,
  MANIFEST_FILE,
  manifestSchema,
  unpackLibrary,
} from '../../native-cuda/src/library.ts';
import type { NativeCuda } from '../../native-cuda/src/native.ts';
import { hashSources } from '../../native-cuda/tools/sources.ts';
import { findExecutable, firstMissing } from '../support/executables.ts';
import { NATIVE_CUDA } from './headers.ts';

const PACKAGE = join(NATIVE_CUDA, 'linux-x64');
const isPackaged = process.platform === 'linux' && process.arch === 'x64';

let cache: string;
beforeAll(async () => void (cache = await mkdtemp(join(tmpdir(), 'calotype-cuda-'))));
afterAll(() => rm(cache, { recursive: true, force: true }));

test('the built library is that of these sources: else run `npm run build:cuda`', async () => {
  const manifest = v.parse(manifestSchema, JSON.parse(await readFile(join(PACKAGE, MANIFEST_FILE), 'utf8')));
  expect(manifest.sources).toBe(await hashSources(NATIVE_CUDA));
});

test('the compressed library is small', async () => {
  expect((await readFile(join(PACKAGE, LIBRARY_FILE))).length).toBeLessThan(20 * 2 ** 20);
});

describe('unpacking', () => {
  test('is done once, and again where the file was damaged', async () => {
    const path = await unpackLibrary(PACKAGE, cache);
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, 1000));
    expect(await unpackLibrary(PACKAGE, cache)).toBe(path);
    expect((await readFile(path)).equals(whole)).toBe(true);
  });

  test('refuses a library that is not the one of its manifest', async () => {
    const folder = await mkdtemp(join(cache, 'package-'));
    await writeFile(join(folder, LIBRARY_FILE), await readFile(join(PACKAGE, LIBRARY_FILE)));
    const manifest = { library: '0'.repeat(64), sources: '0'.repeat(64) };
    await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(manifest));
    await expect(unpackLibrary(folder, cache)).rejects.toThrow(/damaged/);
  });

  test('says what is wrong where the cache cannot be written', async () => {
    const file = join(cache, 'file');
    await writeFile(file, '');
    const loaded = await loadLibrary('linux-x64', join(file, 'below'));
    expect('reason' in loaded && loaded.reason).toMatch(/could not be unpacked/);
  });
});

test('other platforms are told that there is no build for them', async () => {
  expect(await loadLibrary('darwin-arm64')).toMatchObject({
    reason: 'there is no build for darwin-arm64, only for linux-x64',
  });
});

describe.skipIf(!isPackaged)('the library', () => {
  test('loads with or without a driver, and has the kernels that the table calls', async () => {
    const native = await loadLibrary();
    if ('reason' in native) throw new Error(native.reason);
    const sizes = new Map(native.kernels().map(({ name, argsBytes }) => [name, argsBytes]));
    for (const { name, bytes } of LAUNCH_TYPES) expect([name, sizes.get(name)]).toEqual([name, bytes]);
    expect(native.runtimeVersion()).toBe(13000);
    const opened = await cuda().open();
    if (!('reason' in opened)) return opened.dispose();
    expect(opened.backend).toBe('cuda');
    expect(opened.remedy).not.toBe('');
    if (native.driverVersion() === 0) expect(opened.reason).toMatch(/no NVIDIA driver/);
  });

  test('refuses arguments of other types, and queues that there are not', async () => {
    const native = await loadLibrary();
    if ('reason' in native) throw new Error(native.reason);
    // What TypeScript would not let through.
    const untyped: Record<keyof NativeCuda, (...args: unknown[]) => unknown> = native as never;
    expect(() => untyped.allocate(1)).toThrow(/too few arguments/);
    expect(() => untyped.allocate('x', 1)).toThrow(/a number is expected/);
    expect(() => untyped.release(5, 7n)).toThrow(/no such queue/);
    expect(() => untyped.closeQueue({})).toThrow(TypeError);
  });
});

const deno = findExecutable('DENO', ['deno']);
const withoutDeno = firstMissing('the library in Deno', deno);

describe.skipIf(withoutDeno || !isPackaged)(
  `in Deno${withoutDeno ? ` (skipped: ${withoutDeno})` : ''}`,
  () => {
    const program = fileURLToPath(new URL('deno-program.ts', import.meta.url));
    const how = ['run', '--no-prompt', '--no-check', '--no-lock', '--no-config', '--node-modules-dir=manual'];

    async function load(...permissions: string[]): Promise<unknown> {
      if ('missing' in deno) throw new Error('this suite is skipped');
      const allowed = ['--allow-env', '--allow-read', `--allow-write=${cache}`, ...permissions];
      const { stdout } = await promisify(execFile)(deno.path, [...how, ...allowed, program, cache]);
      return JSON.parse(stdout);
    }

    test('the library loads with --allow-ffi', async () => {
      expect(await load('--allow-ffi')).toEqual([expect.any(Number), LAUNCH_TYPES.length]);
    });

    test('and says what it needs without', async () => {
      expect(JSON.stringify(await load())).toMatch(/reason.*ffi.*remedy.*--allow-ffi/);
    });
  },
);
