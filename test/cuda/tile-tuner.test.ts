/** @file Tiles timed on a card for products that were not measured: once, for the fastest, and kept. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { cudaFrom, type CudaOptions } from '../../native-cuda/src/cuda.ts';
import { TILES } from '../../native-cuda/src/kernels/tiles.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { graphWeights } from '../support/random-graph-data.ts';
import { cudaError, FAKE_CARD, FakeNative } from './fake-native.ts';

/** A card on which one tile is faster than the others. */
class TimedNative extends FakeNative {
  timed = 0;
  readonly fastest: number;

  constructor(fastest: number) {
    super();
    this.fastest = fastest;
  }

  override async time(queue: number, kernels: Int32Array): Promise<ArrayBuffer> {
    this.timed++;
    await super.time(queue, kernels);
    return Float64Array.from(kernels, (_, i) => (i === TILES.length + this.fastest ? 1 : 2)).buffer;
  }
}

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

function cacheFolder(): string {
  folders.push(mkdtempSync(join(tmpdir(), 'calotype-tiles-')));
  return folders[0];
}

/** The tiles that two equal layers, and a third, are recorded with. */
async function tilesOf(native: FakeNative, cache?: string, options?: CudaOptions): Promise<unknown[]> {
  const backend = await cudaFrom(() => Promise.resolve(native), options, cache).open();
  if ('reason' in backend) throw new Error(backend.reason);
  const b = new GraphBuilder('layers');
  const first = b.linear(b.input('x', [24, 64], 'float', 'latent'), 'first', { channels: 64 });
  const second = b.linear(first, 'second', { channels: 64 });
  b.output('y', b.linear(second, 'third', { channels: 32 }));
  const graph = b.build();
  const weights = backend.createWeights(graphWeights(graph));
  await backend.compile(layOutGraph(graph, backend.target('f16')), { weights });
  const products = [...native.graphs.values()].at(-1)?.filter(({ kernel }) => kernel === 'gemm') ?? [];
  return products.map(({ args }) => args['config']);
}

test('the fastest tile is taken, and each product is timed once', async () => {
  const native = new TimedNative(5);
  const cache = cacheFolder();
  expect(await tilesOf(native, cache)).toEqual([5, 5, 5]);
  expect(native.timed).toBe(2);
  // Another process finds what was kept.
  const other = new TimedNative(6);
  expect(await tilesOf(other, cache)).toEqual([5, 5, 5]);
  expect(other.timed).toBe(0);
});

test('what was kept for other cards, or is no choice, does not count', async () => {
  const cache = cacheFolder();
  await tilesOf(new TimedNative(5), cache);
  const other = new TimedNative(6);
  other.cards = [{ ...FAKE_CARD, name: 'Fake H200' }];
  expect(await tilesOf(other, cache)).toEqual([6, 6, 6]);
  for (const name of readdirSync(cache)) writeFileSync(join(cache, name), '{"gemm": "best"}');
  expect(await tilesOf(new TimedNative(7), cache)).toEqual([7, 7, 7]);
});

test('the native half chooses where nothing is to be timed, and where a tile is refused', async () => {
  const native = new TimedNative(5);
  expect(await tilesOf(native, undefined, { autotune: false })).toEqual([-1, -1, -1]);
  native.cards = [{ ...FAKE_CARD, major: 8 }];
  expect(await tilesOf(native)).toEqual([-1, -1, -1]);
  expect(native.timed).toBe(0);
  const refusing = new TimedNative(5);
  refusing.time = () => Promise.reject(cudaError('cudaErrorInvalidValue', 'gemm', 3));
  expect(await tilesOf(refusing)).toEqual([-1, -1, -1]);
});
