/** @file Byte sources over buffers, Blobs and local files: exact reads, bounds, copies, files that change. */
import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileFormatError, NotFoundError } from '../../src/errors.ts';
import { blobSource, bufferSource, type ByteSource, readUtf8 } from '../../src/loaders/byte-source.ts';
import {
  blobModelSource,
  httpModelSource,
  isPlainPath,
  type ModelSource,
  pickedFolderSource,
  readJson,
  readText,
} from '../../src/loaders/model-source.ts';
import { nodeFolderSource, openNodeFile } from '../../src/platform/node-file-source.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 256);

describe.each<[string, () => Promise<ByteSource>]>([
  ['buffer', () => Promise.resolve(bufferSource('f', content))],
  [
    'view into a buffer',
    () => Promise.resolve(bufferSource('f', new Uint8Array([9, ...content, 9]).subarray(1, 1001))),
  ],
  ['Blob', () => Promise.resolve(blobSource('f', new Blob([content])))],
  [
    'local file',
    async () => {
      await writeFile(join(folder, 'f'), content);
      return openNodeFile(join(folder, 'f'));
    },
  ],
])('%s', (_, make) => {
  test('reads exactly what is asked for, in memory of its own', async () => {
    const source = await make();
    expect(source.size).toBe(1000);
    expect(await source.read(0, 0)).toEqual(new Uint8Array(0));
    expect(await source.read(990, 10)).toEqual(content.slice(990));
    const first = await source.read(0, 4);
    first.fill(77);
    expect(await source.read(0, 4)).toEqual(content.slice(0, 4));
    expect(first.buffer.byteLength).toBe(4);
    await source.close?.();
  });

  test('refuses ranges outside the file', async () => {
    const source = await make();
    await expect(source.read(995, 6)).rejects.toThrow(/has 1000 bytes, but bytes 995 to 1001 are needed/);
    await expect(source.read(995, 6)).rejects.toThrow(FileFormatError);
    for (const [offset, length] of [
      [-1, 2],
      [0.5, 1],
      [0, -1],
      [Number.NaN, 1],
    ] as const)
      await expect(source.read(offset, length)).rejects.toThrow(RangeError);
    await source.close?.();
  });

  test('stops when aborted', async () => {
    const source = await make();
    await expect(source.read(0, 1, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    await source.close?.();
  });
});

test('a file that shrinks while it is open never gives short data', async () => {
  const path = join(folder, 'shrinking');
  await writeFile(path, content);
  const source = await openNodeFile(path);
  await truncate(path, 500);
  await expect(source.read(400, 200)).rejects.toThrow(/gave 100 of 200 bytes at offset 400/);
  await source.close?.();
});

test('missing files and folders', async () => {
  await expect(openNodeFile(join(folder, 'no'))).rejects.toThrow(NotFoundError);
  await expect(openNodeFile(folder)).rejects.toThrow(/is not a file/);
  await expect(nodeFolderSource(join(folder, 'no'))).rejects.toThrow(/there is no such folder/);
  await writeFile(join(folder, 'plain'), '');
  await expect(nodeFolderSource(join(folder, 'plain'))).rejects.toThrow(/is not a folder/);
});

describe.each<[string, () => Promise<ModelSource>]>([
  [
    'local folder',
    async () => {
      await writeFile(join(folder, 'a.json'), '{"x": NaN}');
      await writeFile(join(folder, 'bad.json'), '{');
      await symlink(join(folder, 'a.json'), join(folder, 'link.json')).catch(() => undefined);
      return nodeFolderSource(folder);
    },
  ],
  [
    'Blobs',
    () =>
      Promise.resolve(
        blobModelSource(
          'picked',
          new Map([
            ['a.json', new Blob(['{"x": NaN}'])],
            ['bad.json', new Blob(['{'])],
          ]),
        ),
      ),
  ],
])('a model in %s', (_, make) => {
  test('opens, lists and parses files', async () => {
    const source = await make();
    expect(await source.exists('a.json')).toBe(true);
    expect(await source.exists('b.json')).toBe(false);
    expect(await source.open('b.json')).toBe(undefined);
    expect(await source.open('sub/b.json')).toBe(undefined);
    expect(await source.list('')).toContain('a.json');
    expect(await source.list('sub')).toEqual([]);
    expect(await readJson(source, 'a.json')).toEqual({ x: Number.NaN });
    await expect(readJson(source, 'bad.json')).rejects.toThrow(/bad\.json: broken JSON at line 1/);
    await expect(readText(source, 'b.json')).rejects.toThrow(
      /b\.json: there is no such file; there are .*a\.json/,
    );
  });

  test.each(['../a.json', '/a.json', 'x/../../a.json', 'a\\b', 'C:x', '', 'x//y', './a.json', 'a\0'])(
    'does not leave the folder by %j',
    async (path) => {
      const source = await make();
      expect(isPlainPath(path)).toBe(false);
      await expect(source.open(path)).rejects.toThrow(NotFoundError);
    },
  );
});

test('a folder picked in a browser loses its own name', async () => {
  const pick = (webkitRelativePath: string, text: string) =>
    Object.assign(new Blob([text]), { webkitRelativePath });
  const source = pickedFolderSource([
    pick('model/model_index.json', '{}'),
    pick('model/unet/config.json', '[1]'),
  ]);
  expect(source.name).toBe('model');
  expect(await source.list('unet')).toEqual(['config.json']);
  expect(await readJson(source, 'unet/config.json')).toEqual([1]);
  expect(() => pickedFolderSource([])).toThrow(/no files were picked/);
});

test('text is limited and must be UTF-8', async () => {
  await expect(readUtf8(bufferSource('t', new Uint8Array(11)), 10)).rejects.toThrow(
    /has 11 bytes, over the 10/,
  );
  await expect(readUtf8(bufferSource('t', Uint8Array.of(0xff)), 10)).rejects.toThrow(/not valid UTF-8/);
});

test('addresses of a model on a server are escaped', () => {
  const urls: string[] = [];
  const fetch = (url: unknown) => {
    urls.push(String(url));
    return Promise.resolve(new Response(null, { status: 404 }));
  };
  return expect(
    httpModelSource('http://host/models/a b//', { fetch })
      .open('unet/x y#1.json')
      .then(() => urls),
  ).resolves.toEqual(['http://host/models/a b/unet/x%20y%231.json']);
});
