/** @file A ModelSource whose files go through the cache, and which the cache stands in for where the network fails. */
import { DownloadError } from '../../errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { InterruptedDownloadError } from '../http.ts';
import type { ModelSource } from '../model-source.ts';
import { fillBlob, openBlob } from './cached-blob.ts';
import type { ChunkStore } from './chunk-store.ts';
import { sha256 } from './digest.ts';

/** Who is told how far a file is, and what the cache decided. */
export interface CacheListener {
  readonly onProgress?: (phase: 'download' | 'verify', file: string, done: number, total: number) => void;
  readonly onNotice?: (notice: string) => void;
}

/** What a model was asked for, and what the answers were. */
export interface ModelRecord {
  readonly name: string;
  usedAt: number;
  /** Path to the key of a blob; to '' for a file that is there but was never opened, to null for one that is not. */
  readonly files: Record<string, string | null>;
  /** Folder to the names in it. */
  readonly lists: Record<string, string[]>;
}

/** Where a model's record and its files are. */
export interface ModelKeeper {
  readonly store: ChunkStore;
  readonly chunkBytes: number;
  read(): Promise<ModelRecord | undefined>;
  note(change: (record: ModelRecord) => void): Promise<void>;
}

/** Wraps a model; see `ModelCache.wrap`. */
export function cachedModelSource(
  keeper: ModelKeeper,
  model: ModelSource,
  listener: CacheListener,
): ModelSource {
  return new CachedModelSource(keeper, model, listener);
}

class CachedModelSource implements ModelSource {
  readonly name: string;
  readonly #keeper: ModelKeeper;
  readonly #model: ModelSource;
  readonly #listener: CacheListener;
  /** The network failed once: from then on the model is what the record says, all of one version. */
  #offline = false;

  constructor(keeper: ModelKeeper, model: ModelSource, listener: CacheListener) {
    this.name = model.name;
    this.#keeper = keeper;
    this.#model = model;
    this.#listener = listener;
  }

  async open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined> {
    const name = `${this.name}/${path}`;
    const found = await this.#ask<{ readonly remote: ByteSource | undefined } | string | null>(
      async () => ({ remote: await this.#model.open(path, signal) }),
      ({ files }) => files[path] || (files[path] === null ? null : undefined),
      signal,
    );
    if (found === null) return undefined;
    if (typeof found === 'string') {
      const kept = await openBlob(this.#keeper.store, found, name, undefined);
      if (kept === undefined) throw notInCache(name);
      return kept;
    }
    if (found.remote === undefined) {
      await this.#keeper.note(({ files }) => (files[path] = null));
      return undefined;
    }
    return this.#keep(path, found.remote, signal);
  }

  async exists(path: string, signal?: AbortSignal): Promise<boolean> {
    const there = await this.#ask(
      () => this.#model.exists(path, signal),
      ({ files }) => (files[path] === undefined ? undefined : files[path] !== null),
      signal,
    );
    if (!this.#offline)
      await this.#keeper.note(({ files }) => (files[path] = there ? (files[path] ?? '') : null));
    return there;
  }

  async list(folder: string, signal?: AbortSignal): Promise<readonly string[] | undefined> {
    const { names } = await this.#ask<{ readonly names: readonly string[] | undefined }>(
      async () => ({ names: await this.#model.list(folder, signal) }),
      // A server whose folders cannot be listed leaves no record of them.
      ({ lists }) => ({ names: lists[folder] }),
      signal,
    );
    if (!this.#offline && names !== undefined)
      await this.#keeper.note(({ lists }) => (lists[folder] = [...names]));
    return names;
  }

  /** The model's own answer or, where the network fails, what the record remembers of it. */
  async #ask<Answer>(
    ask: () => Promise<Answer>,
    remembered: (record: ModelRecord) => Answer | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    let failure: DownloadError = notInCache(this.name);
    if (!this.#offline)
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof InterruptedDownloadError) || signal?.aborted) throw error;
        failure = error;
      }
    const record = await this.#keeper.read();
    const answer = record && remembered(record);
    if (answer === undefined) throw failure;
    if (!this.#offline)
      this.#listener.onNotice?.(`${this.name} cannot be reached: its copy in the cache is used.`);
    this.#offline = true;
    return answer;
  }

  /** A file through the cache; the remote file itself where it cannot be kept. */
  async #keep(path: string, remote: ByteSource, signal: AbortSignal | undefined): Promise<ByteSource> {
    const { version } = remote;
    if (version === undefined) return remote;
    const { store, chunkBytes } = this.#keeper;
    const key = await keyOf(remote.name, version);
    // Noted before it is there, so that what a cut download left is counted, and removed with the model.
    await this.#keeper.note(({ files }) => (files[path] = key));
    const filled = await fillBlob(store, key, remote, version, chunkBytes, signal, (phase, done, total) =>
      this.#listener.onProgress?.(phase, path, done, total),
    );
    const kept = filled ? await openBlob(store, key, remote.name, remote) : undefined;
    if (kept === undefined) {
      this.#listener.onNotice?.(
        `${remote.name} is not kept: the browser gives this site no more room. Remove models from the cache to make some.`,
      );
      return remote;
    }
    return kept;
  }
}

/** Content that the Hub names by its hash is one blob wherever it lies; other content belongs to its address. */
async function keyOf(name: string, version: string): Promise<string> {
  const content = /^(sha256|git):/.test(version) ? version : `${name}\n${version}`;
  return sha256(new TextEncoder().encode(content));
}

function notInCache(file: string): DownloadError {
  return new DownloadError('it is not in the cache, and the network cannot be reached', {
    file,
    remedy: 'Connect to the network and load the model again',
  });
}
