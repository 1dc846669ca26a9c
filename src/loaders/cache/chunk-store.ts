/** @file ChunkStore: where the model cache keeps its bytes. platform/opfs-store.ts is the one of pages. */
import type { Bytes } from '../byte-source.ts';

/** Room that a store has. */
export interface StoreEstimate {
  /** Bytes that are taken, by everything of this origin. */
  readonly usage: number;
  /** Bytes that may be taken. */
  readonly quota: number;
}

/** Files by path, written whole or not at all. Nothing that it gives back is believed without a digest. */
export interface ChunkStore {
  /** A file's bytes; undefined if it is not there. */
  read(path: string): Promise<Bytes | undefined>;
  /** Puts a file in place at once; gives false, and leaves what was there, if there is no room. */
  write(path: string, bytes: Bytes): Promise<boolean>;
  /** Removes a file or a folder; nothing happens if it is not there. */
  remove(path: string): Promise<void>;
  /** Names in a folder; none if it is not there. */
  list(folder: string): Promise<readonly string[]>;
  /** Runs `task` while nobody else, in this tab or another, holds the lock of this name. */
  locked<Result>(name: string, signal: AbortSignal | undefined, task: () => Promise<Result>): Promise<Result>;
  estimate(): Promise<StoreEstimate>;
  /** Asks that the browser does not evict it by itself; says whether it will keep it. */
  persist(): Promise<boolean>;
}
