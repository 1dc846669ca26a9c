/** @file Unpacking the software adapter: once, whole or not at all, and usable in a restarted process. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { createTar } from 'nanotar';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  softwareAdapterEnvironment,
  softwareAdapterObstacle,
  unpackSoftwareAdapter,
} from '../../cli/src/software-adapter.ts';

const FILES = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'];

let cache: string;
let archive: string;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'calotype-cache-'));
  archive = join(cache, 'archive.tar.br');
  await writeArchive([...FILES, 'libEGL.so']);
});

afterEach(() => rm(cache, { recursive: true }));

const contentOf = (name: string): string => `the bytes of ${name}`.repeat(100);

async function writeArchive(names: readonly string[]): Promise<void> {
  const tar = createTar(names.map((name) => ({ name, data: contentOf(name) })));
  await writeFile(archive, brotliCompressSync(tar));
}

describe('unpackSoftwareAdapter', () => {
  it('writes the three files that are needed, with their content', async () => {
    const folder = await unpackSoftwareAdapter(archive, cache);
    expect((await readdir(folder)).toSorted()).toEqual([...FILES, 'sha256.json'].toSorted());
    for (const name of FILES) expect(await readFile(join(folder, name), 'utf8')).toBe(contentOf(name));
    expect(await readdir(cache)).toHaveLength(2);
  });

  it('does not unpack a second time', async () => {
    const folder = await unpackSoftwareAdapter(archive, cache);
    const before = await stat(folder);
    expect(await unpackSoftwareAdapter(archive, cache)).toBe(folder);
    expect((await stat(folder)).ino).toBe(before.ino);
  });

  it.each([
    ['a truncated file', (folder: string) => truncate(join(folder, 'libvulkan.so.1'), 10)],
    ['a changed file of the same size', (folder: string) => flipByte(join(folder, 'libvk_swiftshader.so'))],
    ['a missing file', (folder: string) => rm(join(folder, 'vk_swiftshader_icd.json'))],
    ['no list of hashes', (folder: string) => rm(join(folder, 'sha256.json'))],
    ['a list that is not JSON', (folder: string) => writeFile(join(folder, 'sha256.json'), '{"lib')],
  ])('replaces a folder with %s', async (_, damage) => {
    const folder = await unpackSoftwareAdapter(archive, cache);
    await damage(folder);
    expect(await unpackSoftwareAdapter(archive, cache)).toBe(folder);
    for (const name of FILES) expect(await readFile(join(folder, name), 'utf8')).toBe(contentOf(name));
    expect(await readdir(cache)).toHaveLength(2);
  });

  it('may run several times at once', async () => {
    const folders = await Promise.all(Array.from({ length: 4 }, () => unpackSoftwareAdapter(archive, cache)));
    expect(new Set(folders).size).toBe(1);
    expect((await readdir(cache)).filter((name) => name !== 'archive.tar.br')).toHaveLength(1);
  });

  it('takes another folder for another archive', async () => {
    const first = await unpackSoftwareAdapter(archive, cache);
    await writeArchive(FILES);
    expect(await unpackSoftwareAdapter(archive, cache)).not.toBe(first);
  });

  it.each([
    ['is cut short', () => truncate(archive, 100)],
    ['lacks a member', () => writeArchive(FILES.slice(1))],
    ['is missing', () => rm(archive)],
  ])('refuses an archive that %s and leaves nothing behind', async (_, damage) => {
    await damage();
    await expect(unpackSoftwareAdapter(archive, cache)).rejects.toMatchObject({
      code: 'backend-unavailable',
      file: archive,
      remedy: expect.stringContaining('XDG_CACHE_HOME') as unknown,
    });
    expect((await readdir(cache)).filter((name) => name !== 'archive.tar.br')).toEqual([]);
  });

  it.skipIf(softwareAdapterObstacle() !== undefined)('unpacks the archive that npm brought', async () => {
    const folder = await unpackSoftwareAdapter(undefined, cache);
    const driver = await readFile(join(folder, 'libvk_swiftshader.so'));
    expect(driver.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    const sums: unknown = JSON.parse(await readFile(join(folder, 'sha256.json'), 'utf8'));
    expect(sums).toMatchObject({ 'libvk_swiftshader.so': createHash('sha256').update(driver).digest('hex') });
  });
});

describe('softwareAdapterEnvironment', () => {
  it('adds the driver to those of the system', () => {
    expect(softwareAdapterEnvironment('/cache/x', {})).toEqual({
      LD_LIBRARY_PATH: '/cache/x',
      VK_ADD_DRIVER_FILES: '/cache/x/vk_swiftshader_icd.json',
    });
  });

  it('keeps what was set', () => {
    const env = { LD_LIBRARY_PATH: '/opt/lib', VK_DRIVER_FILES: '/opt/a.json' };
    expect(softwareAdapterEnvironment('/cache/x', env)).toEqual({
      LD_LIBRARY_PATH: '/cache/x:/opt/lib',
      VK_DRIVER_FILES: '/opt/a.json:/cache/x/vk_swiftshader_icd.json',
    });
  });
});

async function flipByte(path: string): Promise<void> {
  const data = await readFile(path);
  data[5] = data[5] ^ 1;
  await writeFile(path, data);
}
