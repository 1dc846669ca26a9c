/** @file Rows of autotuning between runs: in a store as pages have it, and in Node's cache folder. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nodeCacheFiles } from '../../src/platform/node-cache-files.ts';
import { openTuningStore } from '../../src/platform/tuning-store.ts';
import { MemoryStore } from '../loaders/cache/memory-store.ts';

const rows = new Map([['linear 8x8x8 f16', 'gemm-tiled 64x64 k1']]);

it('gives back what it kept, to the same adapter and driver only', async () => {
  const files = new MemoryStore();
  const open = (adapter: string) => openTuningStore(adapter, () => Promise.resolve(files));
  await (await open('card, driver 1')).write(rows);
  expect(await (await open('card, driver 1')).read()).toEqual(Object.fromEntries(rows));
  // The same file name, another adapter.
  expect(await (await open('card_ driver 1')).read()).toEqual({});
  expect(await (await open('card, driver 2')).read()).toEqual({});
});

it('keeps nothing where there is no store', async () => {
  const store = await openTuningStore('card', () => Promise.resolve(undefined));
  await store.write(rows);
  expect(await store.read()).toEqual({});
});

it('uses the cache folder in Node, and takes damage for absence', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'calotype-tuning-'));
  try {
    const open = () =>
      openTuningStore('card', () => Promise.resolve(nodeCacheFiles({ XDG_CACHE_HOME: folder })));
    expect(await (await open()).read()).toEqual({});
    await (await open()).write(rows);
    expect(await (await open()).read()).toEqual(Object.fromEntries(rows));
    await writeFile(join(folder, 'calotype/tuning/card.json'), '{"adapter":"card","rows":{"a":"b"}}');
    expect(await (await open()).read()).toEqual({});
    const nowhere = nodeCacheFiles({ XDG_CACHE_HOME: '/dev/null' });
    expect(await nowhere.write('a', new Uint8Array(1))).toBe(false);
  } finally {
    await rm(folder, { recursive: true });
  }
});
