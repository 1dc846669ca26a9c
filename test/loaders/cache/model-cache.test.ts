/** @file The model cache: what is kept, what is believed, and what happens when anything is cut, full or damaged. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { CalotypeError, DownloadError, FileFormatError } from '../../../src/errors.ts';
import { bufferSource, type ByteSource } from '../../../src/loaders/byte-source.ts';
import { ModelCache } from '../../../src/loaders/cache/model-cache.ts';
import { InterruptedDownloadError } from '../../../src/loaders/http.ts';
import type { ModelSource } from '../../../src/loaders/model-source.ts';
import { Generator } from '../../../src/random/generator.ts';
import { MemoryStore } from './memory-store.ts';

const CHUNK = 100;
const CUT = 'the tab was closed';

/** A server of files whose network can fail. */
class Remote implements ModelSource {
  readonly name: string;
  readonly files = new Map<string, Uint8Array>();
  /** Versions that the server claims; by default the sha256 of the content. */
  readonly versions = new Map<string, string | undefined>();
  beforeRead: () => void = () => undefined;
  online = true;
  reads = 0;

  constructor(name = 'https://host/model') {
    this.name = name;
  }

  async open(path: string): Promise<ByteSource | undefined> {
    await this.#reach();
    const data = this.files.get(path);
    if (data === undefined) return undefined;
    const source = bufferSource(`${this.name}/${path}`, data);
    const version = this.versions.has(path) ? this.versions.get(path) : `sha256:${hex(data)}`;
    return {
      ...source,
      version,
      read: async (offset, length, signal) => {
        await this.#reach();
        this.reads++;
        return source.read(offset, length, signal);
      },
    };
  }

  async exists(path: string): Promise<boolean> {
    await this.#reach();
    return this.files.has(path);
  }

  async list(): Promise<readonly string[]> {
    await this.#reach();
    return [...this.files.keys()];
  }

  async #reach(): Promise<void> {
    await Promise.resolve();
    this.beforeRead();
    if (!this.online) throw new InterruptedDownloadError('no network', { remedy: 'Connect' });
  }
}

const hex = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const content = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);

async function readAll(model: ModelSource, path: string): Promise<Uint8Array | undefined> {
  const file = await model.open(path);
  return file && file.read(0, file.size);
}

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

/** Draws for a seeded fault: a number below `sides`. */
function dice(seed: number): (sides: number) => number {
  const generator = new Generator(seed);
  return (sides) => Math.floor(generator.rand([1])[0] * sides);
}

test('100 seeded cuts and corruptions: none is believed, all are mended', async () => {
  const met = { cut: 0, damaged: 0, refused: 0 };
  for (let seed = 0; seed < 100; seed++) {
    const { store, cache, remote } = setup();
    const roll = dice(seed);
    const expected = content(1234);
    // The first visit ends at some write or request.
    let left = 1 + roll(40);
    const cut = (): void => {
      if (left-- <= 0) throw new Error(CUT);
    };
    [store.beforeWrite, remote.beforeRead] = [cut, cut];
    try {
      expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(expected);
    } catch (error) {
      if (!(error instanceof Error && error.message === CUT)) throw error;
      met.cut++;
    }
    [store.beforeWrite, remote.beforeRead] = [() => undefined, () => undefined];
    // Then some files are cut short, changed or lost.
    for (const name of [...store.files.keys()].toSorted()) {
      const data = store.files.get(name)!;
      const fault = roll(8);
      if (fault > 2) continue;
      met.damaged++;
      if (fault === 0) store.files.delete(name);
      else if (fault === 1) store.files.set(name, data.slice(0, roll(data.length)));
      else data[roll(data.length)] ^= 1 + roll(255);
    }
    // Offline it is the right model or an error, never a wrong model.
    remote.online = false;
    try {
      expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(expected);
    } catch (error) {
      expect(error).toBeInstanceOf(CalotypeError);
      met.refused++;
    }
    // With a network it is the right model, and from then on without one too.
    remote.online = true;
    expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(expected);
    remote.online = false;
    expect(await readAll(cache.wrap(remote), 'model.safetensors')).toEqual(expected);
  }
  expect(met.cut).toBeGreaterThan(30);
  expect(met.damaged).toBeGreaterThan(100);
  expect(met.refused).toBeGreaterThan(30);
});
