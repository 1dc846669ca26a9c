/**
 * @file The origin private file system of pages as a ChunkStore (https://fs.spec.whatwg.org). A file appears when its
 * writer is closed, so that a tab that dies leaves no half of one; locks are Web Locks, which tabs share.
 */
import type { Bytes } from '../loaders/byte-source.ts';
import type { ChunkStore } from '../loaders/cache/chunk-store.ts';
import { ModelCache } from '../loaders/cache/model-cache.ts';

/** The parts of the DOM's declarations that are used, which these files are compiled without. */
interface FileHandle {
  getFile(): Promise<{ arrayBuffer(): Promise<ArrayBuffer> }>;
  createWritable(): Promise<{
    write(bytes: Bytes): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
}
interface FolderHandle {
  getDirectoryHandle(name: string, options?: { readonly create: boolean }): Promise<FolderHandle>;
  getFileHandle(name: string, options?: { readonly create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options: { readonly recursive: boolean }): Promise<void>;
  keys(): AsyncIterable<string>;
}
interface Storage {
  getDirectory(): Promise<FolderHandle>;
  estimate(): Promise<{ readonly usage?: number; readonly quota?: number }>;
  /** Only in pages; in workers there is `persisted` alone. */
  persist?(): Promise<boolean>;
  persisted(): Promise<boolean>;
}
interface Locks {
  request<Result>(
    name: string,
    options: { readonly signal?: AbortSignal },
    task: () => Promise<Result>,
  ): Promise<Result>;
}

/** Folder of the origin's file system, and prefix of its locks. */
const ROOT = 'calotype';

let opened: Promise<ModelCache | undefined> | undefined;

/** The model cache of this page's origin; undefined where there is no file system for pages, or it is denied. */
export function openModelCache(): Promise<ModelCache | undefined> {
  return (opened ??= openOpfsStore().then((store) => store && new ModelCache(store)));
}

/** The file system of this origin as a store; undefined where there is none for pages, or it is denied. */
export async function openOpfsStore(): Promise<ChunkStore | undefined> {
  const { storage, locks } = (Reflect.get(globalThis, 'navigator') ?? {}) as {
    readonly storage?: Partial<Storage>;
    readonly locks?: Locks;
  };
  if (storage?.getDirectory === undefined || locks === undefined) return undefined;
  try {
    const root = await storage.getDirectory();
    return new OpfsStore(await root.getDirectoryHandle(ROOT, { create: true }), storage as Storage, locks);
  } catch {
    // Private windows and storage settings deny it.
    return undefined;
  }
}

class OpfsStore implements ChunkStore {
  readonly #root: FolderHandle;
  readonly #storage: Storage;
  readonly #locks: Locks;

  constructor(root: FolderHandle, storage: Storage, locks: Locks) {
    this.#root = root;
    this.#storage = storage;
    this.#locks = locks;
  }

  async read(path: string): Promise<Bytes | undefined> {
    const [folder, name] = split(path);
    return ifThere(async () => {
      const handle = await (await this.#folder(folder, false)).getFileHandle(name);
      return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    });
  }

  async write(path: string, bytes: Bytes): Promise<boolean> {
    const [folder, name] = split(path);
    try {
      const handle = await (await this.#folder(folder, true)).getFileHandle(name, { create: true });
      const writer = await handle.createWritable();
      try {
        await writer.write(bytes);
        await writer.close();
      } catch (error) {
        await writer.abort().catch(() => undefined);
        throw error;
      }
      return true;
    } catch (error) {
      if (errorName(error) === 'QuotaExceededError') return false;
      throw error;
    }
  }

  async remove(path: string): Promise<void> {
    const [folder, name] = split(path);
    await ifThere(async () => (await this.#folder(folder, false)).removeEntry(name, { recursive: true }));
  }

  async list(folder: string): Promise<readonly string[]> {
    const names = await ifThere(async () => {
      const found: string[] = [];
      for await (const name of (await this.#folder(folder.split('/'), false)).keys()) found.push(name);
      return found;
    });
    return names ?? [];
  }

  locked<Result>(
    name: string,
    signal: AbortSignal | undefined,
    task: () => Promise<Result>,
  ): Promise<Result> {
    return this.#locks.request(`${ROOT}/${name}`, signal ? { signal } : {}, task);
  }

  async estimate(): Promise<{ readonly usage: number; readonly quota: number }> {
    const { usage = 0, quota = Infinity } = await this.#storage.estimate();
    return { usage, quota };
  }

  persist(): Promise<boolean> {
    return this.#storage.persist?.() ?? this.#storage.persisted();
  }

  async #folder(names: readonly string[], create: boolean): Promise<FolderHandle> {
    let folder = this.#root;
    for (const name of names) folder = await folder.getDirectoryHandle(name, { create });
    return folder;
  }
}

function split(path: string): [folder: readonly string[], name: string] {
  const names = path.split('/');
  return [names.slice(0, -1), names.at(-1) ?? ''];
}

/** What a task gives; undefined if a file or folder on its way is not there. */
async function ifThere<Result>(task: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await task();
  } catch (error) {
    if (errorName(error) === 'NotFoundError') return undefined;
    throw error;
  }
}

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : '';
}
