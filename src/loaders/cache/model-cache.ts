/**
 * @file The model cache of pages: whole files of a model, kept by content, and a record a model of what it asked for,
 * so that a model that was loaded once loads again without a network.
 */
import * as v from 'valibot';
import type { ModelSource } from '../model-source.ts';
import { blobBytes, blobFolder } from './cached-blob.ts';
import {
  type CacheListener,
  cachedModelSource,
  type ModelRecord,
  type ModelKeeper,
} from './cached-model-source.ts';
import type { ChunkStore, StoreEstimate } from './chunk-store.ts';
import { sha256 } from './digest.ts';
import { readSealed, writeSealed } from './sealed-json.ts';

/** A model that the cache holds, or a part of one. */
export interface CachedModel {
  /** URL or Hub id. */
  readonly name: string;
  readonly bytes: number;
  /** When it was last opened, in milliseconds since 1970. */
  readonly usedAt: number;
}

const recordSchema = v.object({
  name: v.string(),
  usedAt: v.number(),
  /** See `ModelRecord`. */
  files: v.record(v.string(), v.nullable(v.string())),
  lists: v.record(v.string(), v.array(v.string())),
});
const RECORDS = 'models';
/** Bytes a chunk: few requests, and little is lost when a download is cut. */
const CHUNK_BYTES = 8 << 20;

/** Models kept in a store; tabs share it. */
export class ModelCache {
  readonly #store: ChunkStore;
  readonly #chunkBytes: number;

  constructor(store: ChunkStore, chunkBytes = CHUNK_BYTES) {
    this.#store = store;
    this.#chunkBytes = chunkBytes;
  }

  /** Room that this origin has and takes. */
  estimate(): Promise<StoreEstimate> {
    return this.#store.estimate();
  }

  /** Asks the browser not to evict models by itself; says whether it agreed. */
  persist(): Promise<boolean> {
    return this.#store.persist();
  }

  /** What is kept, most recently used first. */
  async models(): Promise<readonly CachedModel[]> {
    const found: CachedModel[] = [];
    for (const record of await this.#records()) {
      const sizes = await Promise.all(keysOf(record).map((key) => blobBytes(this.#store, key)));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      found.push({ name: record.name, bytes, usedAt: record.usedAt });
    }
    return found.toSorted((a, b) => b.usedAt - a.usedAt);
  }

  /** Removes a model, and those of its files that no other model uses. */
  async remove(name: string): Promise<void> {
    const path = await recordPath(name);
    await this.#store.locked(path, undefined, async () => {
      const record = await readSealed(this.#store, path, recordSchema);
      await this.#store.remove(path);
      await this.#drop(record ? keysOf(record) : []);
    });
  }

  /**
   * A model whose files are brought into the cache when they are opened. Where the network fails, files that were
   * opened before come from the cache alone. Files whose versions cannot be told are not kept.
   */
  wrap(model: ModelSource, listener: CacheListener = {}): ModelSource {
    const keeper: ModelKeeper = {
      store: this.#store,
      chunkBytes: this.#chunkBytes,
      read: async () => readSealed(this.#store, await recordPath(model.name), recordSchema),
      note: (change) => this.#note(model.name, change),
    };
    return cachedModelSource(keeper, model, listener);
  }

  async #records(): Promise<readonly ModelRecord[]> {
    const names = await this.#store.list(RECORDS);
    const read = names.map((name) => readSealed(this.#store, `${RECORDS}/${name}`, recordSchema));
    return (await Promise.all(read)).filter((record) => record !== undefined);
  }

  /** Changes a model's record. Where there is no room for it, the model is merely not found offline. */
  async #note(name: string, change: (record: ModelRecord) => void): Promise<void> {
    const path = await recordPath(name);
    await this.#store.locked(path, undefined, async () => {
      const record = (await readSealed(this.#store, path, recordSchema)) ?? {
        name,
        usedAt: 0,
        files: {},
        lists: {},
      };
      const before = keysOf(record);
      record.usedAt = Date.now();
      change(record);
      await writeSealed(this.#store, path, record);
      const now = new Set(keysOf(record));
      await this.#drop(before.filter((key) => !now.has(key)));
    });
  }

  /** Removes blobs that no model names any more. */
  async #drop(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const named = new Set((await this.#records()).flatMap(keysOf));
    for (const key of keys)
      if (!named.has(key))
        await this.#store.locked(key, undefined, () => this.#store.remove(blobFolder(key)));
  }
}

function keysOf({ files }: ModelRecord): string[] {
  return [...new Set(Object.values(files))].filter((key): key is string => key !== null && key !== '');
}

async function recordPath(name: string): Promise<string> {
  return `${RECORDS}/${await sha256(new TextEncoder().encode(name))}`;
}
