/**
 * @file An origin private file system in memory, and Web Locks, as far as platform/opfs-store.ts asks of a browser: files
 * exist, empty, from the moment that they are created, and have their content when their writer is closed.
 */

interface Folder {
  readonly folders: Map<string, Folder>;
  readonly files: Map<string, Uint8Array>;
}

/** A browser's storage. */
export class FakeOpfs {
  readonly #root: Folder = { folders: new Map(), files: new Map() };
  readonly #locks = new Map<string, Promise<unknown>>();
  /** Called before anything is written; what it throws is as if the tab had been closed. */
  beforeWrite: () => void = () => undefined;

  /** Stands for the global of this name. */
  readonly navigator = {
    storage: {
      getDirectory: () => Promise.resolve(this.#folderHandle(this.#root)),
      estimate: () => Promise.resolve({ usage: 0, quota: Infinity }),
      persisted: () => Promise.resolve(false),
    },
    locks: {
      request: async <Result>(
        name: string,
        _options: object,
        task: () => Promise<Result>,
      ): Promise<Result> => {
        const before = this.#locks.get(name);
        const run = (async () => {
          await before?.catch(() => undefined);
          return task();
        })();
        this.#locks.set(name, run);
        return run;
      },
    },
  };

  /** All files, by path: a map of their folder, and their name in it. */
  files(): { readonly path: string; readonly name: string; readonly siblings: Map<string, Uint8Array> }[] {
    const walk = (folder: Folder, path: string): ReturnType<FakeOpfs['files']> => [
      ...[...folder.files.keys()].map((name) => ({ path: `${path}${name}`, name, siblings: folder.files })),
      ...[...folder.folders].flatMap(([name, child]) => walk(child, `${path}${name}/`)),
    ];
    return walk(this.#root, '').toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  #folderHandle(folder: Folder): object {
    return {
      getDirectoryHandle: async (name: string, { create = false } = {}) => {
        const found =
          folder.folders.get(name) ?? (create ? { folders: new Map(), files: new Map() } : missing());
        folder.folders.set(name, found);
        return this.#folderHandle(found);
      },
      getFileHandle: async (name: string, { create = false } = {}) => {
        if (!folder.files.has(name)) {
          if (!create) missing();
          this.beforeWrite();
          folder.files.set(name, new Uint8Array());
        }
        return this.#fileHandle(folder.files, name);
      },
      removeEntry: async (name: string) => {
        if (!folder.files.delete(name) && !folder.folders.delete(name)) missing();
      },
      // oxlint-disable-next-line require-yield -- the browser's is asynchronous
      keys: async function* () {
        yield* [...folder.folders.keys(), ...folder.files.keys()];
      },
    };
  }

  #fileHandle(siblings: Map<string, Uint8Array>, name: string): object {
    return {
      getFile: async () => {
        const bytes = siblings.get(name)?.slice() ?? missing();
        return { arrayBuffer: async () => bytes.buffer };
      },
      createWritable: async () => {
        let written = new Uint8Array();
        return {
          write: async (bytes: Uint8Array) => {
            this.beforeWrite();
            written = bytes.slice();
          },
          close: async () => {
            this.beforeWrite();
            siblings.set(name, written);
          },
          abort: async () => undefined,
        };
      },
    };
  }
}

function missing(): never {
  throw new DOMException('there is no such entry', 'NotFoundError');
}
