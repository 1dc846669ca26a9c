/**
 * @file Where rows of autotuning are kept between runs, a file an adapter and driver: in pages the origin's file system,
 * in Node the user's cache folder.
 */

import { node } from '#node-platform';
import * as v from 'valibot';
import type { ChunkStore } from '../loaders/cache/chunk-store.ts';
import { readSealed, writeSealed } from '../loaders/cache/sealed-json.ts';
import { openOpfsStore } from './opfs-store.ts';

/** The part of a store that they need. */
export type TuningFiles = Pick<ChunkStore, 'read' | 'write'>;

const schema = v.object({ adapter: v.string(), rows: v.record(v.string(), v.string()) });

/** Most rows that are kept: a model has about a hundred. */
const MOST_ROWS = 4000;

/** Rows of an adapter. */
export interface TuningStore {
  /** What was kept; nothing if the file is not there, damaged, or another adapter's. */
  read(): Promise<Readonly<Record<string, string>>>;
  /** Keeps rows in place of those before, if there is room. */
  write(rows: ReadonlyMap<string, string>): Promise<void>;
}

/**
 * The store of an adapter.
 * @param adapter what tells it and its driver from others
 * @param openFiles default: this runtime's files
 */
export async function openTuningStore(
  adapter: string,
  openFiles: () => Promise<TuningFiles | undefined> = openRuntimeFiles,
): Promise<TuningStore> {
  const files = await openFiles();
  // Without anything that a file system minds.
  const path = `tuning/${adapter.replaceAll(/[^\w.-]+/g, '_').slice(0, 120)}.json`;
  return {
    async read() {
      const stored = files && (await readSealed(files, path, schema));
      return stored?.adapter === adapter ? stored.rows : {};
    },
    async write(rows) {
      const kept = Object.fromEntries([...rows].slice(-MOST_ROWS));
      if (files) await writeSealed(files, path, { adapter, rows: kept });
    },
  };
}

async function openRuntimeFiles(): Promise<TuningFiles | undefined> {
  if (node) return node.cacheFiles();
  return openOpfsStore();
}
