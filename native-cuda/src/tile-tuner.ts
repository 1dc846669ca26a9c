/**
 * @file Times tiles on the card for products that the shipped table does not know, where their plan is compiled. What was
 * found is kept in a file: a card is asked once for each product.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KernelError } from 'calotype';
import * as v from 'valibot';
import type { OpenDevice } from './device.ts';
import { isHopper } from './kernel.ts';
import { convLaunch } from './kernels/conv.ts';
import { GEGLU, gemmLaunch } from './kernels/gemm.ts';
import { doesGates, EIGHT_BITS_TILES, TILES } from './kernels/tiles.ts';
import type { BoundLaunch, CudaLaunch } from './launch.ts';

/** Each tile is timed so often, and its best time counts. */
const REPETITIONS = 3;

/** Numbers of tiles, by product. */
const storedSchema = v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0)));

/** Chooses tiles for the launches of plans. */
export class TileTuner {
  readonly #device: OpenDevice;
  readonly #path: string | undefined;
  #known: Map<string, number> | undefined;

  /** @param folder where what was found is kept; nowhere if undefined */
  constructor(device: OpenDevice, folder?: string) {
    this.#device = device;
    this.#path = folder && join(folder, `cuda-tiles-${kindOf(device)}.json`);
  }

  /**
   * The launches, with tiles where they left the choice open.
   * @param mayRun whether a launch may be run before its plan: what it writes then is garbage
   */
  async choose(
    bound: readonly BoundLaunch[],
    mayRun: (index: number) => boolean,
    signal?: AbortSignal,
  ): Promise<BoundLaunch[]> {
    if (!isHopper(this.#device.info)) return [...bound];
    const known = (this.#known ??= await this.#read());
    const before = known.size;
    for (const [i, one] of bound.entries()) {
      const key = keyOf(one.launch);
      if (key === undefined || known.has(key) || !mayRun(i)) continue;
      signal?.throwIfAborted();
      const fastest = await this.#fastest(one);
      if (fastest !== undefined) known.set(key, fastest);
    }
    if (known.size > before) await this.#write(known);
    return bound.map((one) => {
      const key = keyOf(one.launch);
      const config = key === undefined ? undefined : known.get(key);
      return config === undefined ? one : withTile(one, config);
    });
  }

  /** The number of the tile that a launch is done in the soonest; undefined if the card refuses one. */
  async #fastest(one: BoundLaunch): Promise<number | undefined> {
    const tiles = tilesFor(one.launch);
    const count = tiles.length;
    const variants = Array.from({ length: REPETITIONS * count }, (_, i) => withTile(one, tiles[i % count]));
    try {
      const times = await this.#device.time(this.#device.encode(variants), `the tiles of ${one.node}`);
      const best = tiles.map((_tile, place) => Math.min(...times.filter((_time, i) => i % count === place)));
      return tiles[best.indexOf(Math.min(...best))];
    } catch (error) {
      // The native half's own choice runs everything that it takes.
      if (error instanceof KernelError) return undefined;
      throw error;
    }
  }

  async #read(): Promise<Map<string, number>> {
    try {
      const text = this.#path === undefined ? '{}' : await readFile(this.#path, 'utf8');
      return new Map(Object.entries(v.parse(storedSchema, JSON.parse(text))));
    } catch {
      // Not there yet, or not what is written here: it is measured again.
      return new Map();
    }
  }

  async #write(known: ReadonlyMap<string, number>): Promise<void> {
    if (this.#path === undefined) return;
    const partial = `${this.#path}.${randomUUID()}.partial`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFile(partial, JSON.stringify(Object.fromEntries(known)));
      await rename(partial, this.#path);
    } catch {
      // Without a cache the next process measures again.
      await rm(partial, { force: true });
    }
  }
}

/** Cards and sets of tiles among which choices hold. */
function kindOf({ info: { name, multiprocessors } }: OpenDevice): string {
  const kind = JSON.stringify([name, multiprocessors, TILES, EIGHT_BITS_TILES]);
  return createHash('sha256').update(kind).digest('hex').slice(0, 16);
}

/** What identifies a product whose tile is open: all its numbers. */
function keyOf({ type, args }: CudaLaunch): string | undefined {
  const isProduct = type.name === gemmLaunch.name || type.name === convLaunch.name;
  if (!isProduct || args['config'] !== -1) return undefined;
  const numbers = Object.values(args).filter((value) => typeof value === 'number');
  return [type.name, ...numbers].join();
}

/** The numbers of the tiles that can do a product. */
function tilesFor({ args }: CudaLaunch): number[] {
  const count = args['operands'] ? EIGHT_BITS_TILES : TILES.length;
  const isGated = args['activation'] === GEGLU && !args['operands'];
  return Array.from({ length: count }, (_, tile) => tile).filter((tile) => !isGated || doesGates(tile));
}

function withTile(one: BoundLaunch, config: number): BoundLaunch {
  const { type, args } = one.launch;
  return { ...one, launch: { type, args: { ...args, config } } };
}
