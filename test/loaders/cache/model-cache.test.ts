/** @file The model cache: what is kept, what is believed, and what happens when it is full; faults.test.ts damages it. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { DownloadError, FileFormatError } from '../../../src/errors.ts';
import { ModelCache } from '../../../src/loaders/cache/model-cache.ts';
import { MemoryStore } from './memory-store.ts';
import { content, hex, readAll, Remote } from './remote.ts';

const CHUNK = 100;

function setup(): { store: MemoryStore; cache: ModelCache; remote: Remote } {
  const store = new MemoryStore();
  const remote = new Remote();
  remote.files.set('config.json', content(30));
  remote.files.set('model.safetensors', content(1234));
  return { store, cache: new ModelCache(store, CHUNK), remote };
}

describe('what is kept', () => {
  test('a model that was opened once opens without a network, absent files included', async () => {
    const { cache, remote } = setup();
    const online = cache.wrap(remote);
    expect(await readAll(online, 'model.safetensors')).toEqual(content(1234));
    expect(await online.open('other.json')).toBeUndefined();
    expect(await online.exists('config.json')).toBe(true);
    expect(await online.list('')).toEqual(['config.json', 'model.safetensors']);
    remote.online = false;
    const notices: string[] = [];
    const offline = cache.wrap(remote, { onNotice: (notice) => notices.push(notice) });
    expect(await readAll(offline, 'model.safetensors')).toEqual(content(1234));
    expect(await offline.open('other.json')).toBeUndefined();
    expect(await offline.exists('config.json')).toBe(true);
    expect(await offline.list('')).toEqual(['config.json', 'model.safetensors']);
    // It was seen, but never opened.
    await expect(offline.open('config.json')).rejects.toThrow(DownloadError);
    expect(notices).toEqual(['https://host/model cannot be reached: its copy in the cache is used.']);
  });

  test('a second opening reads nothing but the cache', async () => {
    const { cache, remote } = setup();
    await readAll(cache.wrap(remote), 'model.safetensors');
    const { reads } = remote;
    expect(reads).toBe(13);
    const file = await cache.wrap(remote).open('model.safetensors');
    expect(await file?.read(150, 200)).toEqual(content(1234).slice(150, 350));
    expect(remote.reads).toBe(reads);
  });

  test('two tabs download a file once', async () => {
    const { store, cache, remote } = setup();
    const tabs = [cache, new ModelCache(store, CHUNK)].map((tab) =>
      readAll(tab.wrap(remote), 'model.safetensors'),
    );
    expect(await Promise.all(tabs)).toEqual([content(1234), content(1234)]);
    expect(remote.reads).toBe(13);
  });

  test('content that two models share is kept once, and goes with the last of them', async () => {
    const { store, cache, remote } = setup();
    const other = new Remote('https://host/other');
    other.files.set('vae.safetensors', content(1234));
    await readAll(cache.wrap(remote), 'model.safetensors');
    await readAll(cache.wrap(other), 'vae.safetensors');
    expect(remote.reads + other.reads).toBe(13);
    expect((await cache.models()).map(({ name, bytes }) => [name, bytes])).toEqual([
      [other.name, 1234],
      [remote.name, 1234],
    ]);
    await cache.remove(remote.name);
    other.online = false;
    expect(await readAll(cache.wrap(other), 'vae.safetensors')).toEqual(content(1234));
    await cache.remove(other.name);
    expect([...store.files]).toEqual([]);
  });

  test('a new version replaces the old one', async () => {
    const { store, cache, remote } = setup();
    await readAll(cache.wrap(remote), 'model.safetensors');
    const { size } = store.files;
    remote.files.set('model.safetensors', content(1234, 2));
    expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(content(1234, 2));
    expect(store.files.size).toBe(size);
  });

  test('a file whose version cannot be told is read from the network', async () => {
    const { store, cache, remote } = setup();
    remote.versions.set('model.safetensors', undefined);
    expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(content(1234));
    expect([...store.files.keys()].filter((name) => name.startsWith('blobs'))).toEqual([]);
  });
});

describe('what is not believed', () => {
  test('content that does not have the hash of the repository', async () => {
    const { store, cache, remote } = setup();
    remote.versions.set('model.safetensors', `sha256:${hex(content(5))}`);
    await expect(cache.wrap(remote).open('model.safetensors')).rejects.toThrow(/does not have the hash/);
    expect([...store.files.keys()].filter((name) => name.startsWith('blobs'))).toEqual([]);
  });

  test("Git's own hash is checked too", async () => {
    const { cache, remote } = setup();
    const data = content(30);
    const git = createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
    remote.versions.set('config.json', `git:${git}`);
    expect(await readAll(cache.wrap(remote), 'config.json')).toEqual(data);
    remote.versions.set('config.json', `git:${'0'.repeat(40)}`);
    await expect(cache.wrap(remote).open('config.json')).rejects.toThrow(/does not have the hash/);
  });

  test('a damaged chunk without a network is an error that says so', async () => {
    const { store, cache, remote } = setup();
    await readAll(cache.wrap(remote), 'model.safetensors');
    const chunk = [...store.files.keys()].find((name) => name.endsWith('/3'))!;
    store.files.get(chunk)![7] ^= 1;
    remote.online = false;
    const file = await cache.wrap(remote).open('model.safetensors');
    expect(await file?.read(0, 300)).toEqual(content(1234).slice(0, 300));
    await expect(file?.read(0, 301)).rejects.toThrow(FileFormatError);
  });

  test('a full cache keeps nothing new and says what to do', async () => {
    const { store, cache, remote } = setup();
    store.quota = 800;
    const notices: string[] = [];
    const model = cache.wrap(remote, { onNotice: (notice) => notices.push(notice) });
    expect(await readAll(model, 'model.safetensors')).toEqual(content(1234));
    expect(notices[0]).toMatch(/Remove models from the cache/);
    expect(store.usage()).toBeLessThanOrEqual(800);
  });
});
