/** @file Pictures in a folder; between machines, one that is mounted on all of them. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NotFoundError } from 'calotype';
import { checkStoreName, type PictureStore } from './store.ts';

/** A folder of pictures, with a folder for each job. */
export class FolderStore implements PictureStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#pathOf(name);
    const partial = `${path}.${randomUUID()}.partial`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(partial, bytes, { flag: 'wx' });
    await rename(partial, path);
  }

  async get(name: string): Promise<Uint8Array> {
    const path = this.#pathOf(name);
    try {
      return await readFile(path);
    } catch (cause) {
      throw new NotFoundError('the picture is not in the storage', {
        file: name,
        remedy: 'Give server and workers the same --storage',
        cause,
      });
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true });
  }

  async sweep(seconds: number): Promise<void> {
    const oldest = Date.now() - seconds * 1000;
    const jobs = await readdir(this.#folder).catch(() => []);
    for (const job of jobs) {
      if (!/^[\w-]{1,128}$/.test(job)) continue;
      const path = join(this.#folder, job);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs < oldest) await rm(path, { recursive: true, force: true });
    }
  }

  #pathOf(name: string): string {
    checkStoreName(name);
    return join(this.#folder, name);
  }
}
