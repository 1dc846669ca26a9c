/**
 * @file The fault table: a hundred seeded cuts and corruptions of downloads and of what is kept, for the cache of pages and
 * for that of Node. No wrong byte is ever given out, and everything is got in the end.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { CalotypeError } from '../../../src/errors.ts';
import { ModelCache } from '../../../src/loaders/cache/model-cache.ts';
import { hubRepository } from '../../../src/loaders/hub.ts';
import { cachedHubSource } from '../../../src/platform/hub-cache.ts';
import { openOpfsStore } from '../../../src/platform/opfs-store.ts';
import { Generator } from '../../../src/random/generator.ts';
import { type FakeHub, sha256, startFakeHub, weights } from '../fake-hub.ts';
import { noticedFetch, serveFile } from '../http-server.ts';
import { FakeOpfs } from './fake-opfs.ts';
import { content, readAll, Remote } from './remote.ts';

const SEEDS = Array.from({ length: 100 }, (_, seed) => seed);
const CHUNK = 100;
const CUT = 'the tab was closed';
const FILE = 'unet/model.safetensors';

/** What happened to a cache in a hundred runs. */
interface Tally {
  /** Downloads that ended in the middle. */
  cut: number;
  /** Files, or bytes on their way, that were shortened, changed or lost. */
  damaged: number;
  /** Reads that ended with an error that says what to do. */
  refused: number;
  /** Reads that gave a wrong byte. */
  believed: number;
  /** Models that were right in the end, with a network. */
  resumed: number;
}
const noFaults = (): Tally => ({ cut: 0, damaged: 0, refused: 0, believed: 0, resumed: 0 });
const tallies: Record<string, Tally> = {};
afterAll(() => {
  const row = (cells: readonly unknown[]): string => `| ${cells.join(' | ')} |`;
  const columns = Object.keys(noFaults());
  const rows = Object.entries(tallies).map(([cache, tally]) =>
    row([cache, SEEDS.length, ...Object.values<number>({ ...tally })]),
  );
  const lines = [
    row(['cache', 'runs', ...columns]),
    row(['---', '---', ...columns.map(() => '---')]),
    ...rows,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
});
afterEach(() => vi.unstubAllGlobals());

/** Draws for a seeded fault: a number below `sides`. */
function dice(seed: number): (sides: number) => number {
  const generator = new Generator(seed);
  return (sides) => Math.floor(generator.rand([1])[0] * sides);
}

/** Notes what a read came to; errors that are not for users fail the test. */
async function note(
  tally: Tally,
  expected: Uint8Array,
  read: Promise<Uint8Array | undefined>,
): Promise<boolean> {
  try {
    const right = Buffer.from(expected).equals((await read) ?? new Uint8Array());
    if (!right) tally.believed++;
    return right;
  } catch (error) {
    expect(error).toBeInstanceOf(CalotypeError);
    tally.refused++;
    return false;
  }
}

function expectMended(name: string, tally: Tally): void {
  tallies[name] = tally;
  expect(tally.believed).toBe(0);
  expect(tally.resumed).toBe(SEEDS.length);
  expect(tally.cut).toBeGreaterThan(30);
  expect(tally.damaged).toBeGreaterThan(100);
  expect(tally.refused).toBeGreaterThan(30);
}

test(
  '100 seeded cuts and corruptions of a page’s cache: none is believed, all are mended',
  { timeout: 120_000 },
  async () => {
    const tally = noFaults();
    for (const seed of SEEDS) {
      const roll = dice(seed);
      const opfs = new FakeOpfs();
      vi.stubGlobal('navigator', opfs.navigator);
      const cache = new ModelCache((await openOpfsStore())!, CHUNK);
      const remote = new Remote();
      const expected = content(1234);
      remote.files.set(FILE, expected);
      // The first visit ends at some write or request.
      let left = 1 + roll(150);
      const cut = (): void => {
        if (left-- <= 0) throw new Error(CUT);
      };
      [opfs.beforeWrite, remote.beforeRead] = [cut, cut];
      try {
        expect(await readAll(cache.wrap(remote), FILE)).toEqual(expected);
      } catch (error) {
        if (!(error instanceof Error && error.message === CUT)) throw error;
        tally.cut++;
      }
      [opfs.beforeWrite, remote.beforeRead] = [() => undefined, () => undefined];
      // Then some files are lost, cut short or changed.
      for (const { name, siblings } of opfs.files()) {
        const fault = roll(8);
        const data = siblings.get(name)!;
        if (fault > 2 || data.length === 0) continue;
        tally.damaged++;
        if (fault === 0) siblings.delete(name);
        else if (fault === 1) siblings.set(name, data.slice(0, roll(data.length)));
        else data[roll(data.length)] ^= 1 + roll(255);
      }
      // Without a network it is the right model or an error; with one it is the right one, and from then on without one too.
      remote.online = false;
      await note(tally, expected, readAll(cache.wrap(remote), FILE));
      remote.online = true;
      const again = await note(tally, expected, readAll(cache.wrap(remote), FILE));
      remote.online = false;
      if (again && (await note(tally, expected, readAll(cache.wrap(remote), FILE)))) tally.resumed++;
    }
    expectMended('pages (OPFS)', tally);
  },
);

test(
  '100 seeded cuts and corruptions of Node’s cache: none is believed, all are resumed',
  { timeout: 240_000 },
  async () => {
    const tally = noFaults();
    const fake = await startFakeHub();
    try {
      for (const seed of SEEDS) await damageNodeCache(fake, dice(seed), tally);
    } finally {
      await fake.close();
    }
    expectMended('Node (shared with Python)', tally);
  },
);

/** Downloads that break, partial files that are damaged, and bytes that change on their way. */
async function damageNodeCache(fake: FakeHub, roll: (sides: number) => number, tally: Tally): Promise<void> {
  const cacheFolder = await mkdtemp(join(tmpdir(), 'calotype-faults-'));
  const read = async (): Promise<Uint8Array | undefined> => {
    const source = cachedHubSource(hubRepository('owner/name', 'main'), {
      settings: { endpoint: fake.hub.url, token: undefined, offline: false },
      cacheFolder,
      http: { retryDelayMs: 1, attempts: 1, fetch: noticedFetch },
    });
    const file = await source.open(FILE);
    const bytes = await file?.read(0, file.size);
    await file?.close?.();
    return bytes;
  };
  try {
    for (let visit = 0; visit < 2; visit++) {
      fake.storageOptions = { cutAfter: 1 + roll(weights.length - 1), ignoreRange: visit === 0 };
      tally.cut++;
      await note(tally, weights, read());
      const blobs = join(cacheFolder, 'models--owner--name', 'blobs');
      for (const name of (await readdir(blobs)).toSorted()) {
        const fault = roll(4);
        const data = await readFile(join(blobs, name));
        // What is complete is Python's as much as ours, and believed as Python believes it.
        if (fault > 2 || !name.includes('incomplete') || data.length === 0) continue;
        tally.damaged++;
        if (fault === 0) await rm(join(blobs, name));
        else if (fault === 1) await writeFile(join(blobs, name), data.subarray(0, roll(data.length)));
        else {
          data[roll(data.length)] ^= 1 + roll(255);
          await writeFile(join(blobs, name), data);
        }
      }
    }
    fake.storageOptions = {};
    if (roll(2) === 0) {
      tally.damaged++;
      // On its way, under the same name.
      const { handle } = fake.storage;
      const etag = `"storage-${sha256(weights).slice(0, 8)}"`;
      const changed = weights.with(roll(weights.length), 255);
      fake.storage.handle = (request, response) => serveFile(request, response, changed, { etag });
      await note(tally, weights, read());
      fake.storage.handle = handle;
    }
    // A part that was damaged is found out when all is there, and thrown away: then the next try begins anew.
    if ((await note(tally, weights, read())) || (await note(tally, weights, read()))) tally.resumed++;
  } finally {
    await rm(cacheFolder, { recursive: true });
  }
}
