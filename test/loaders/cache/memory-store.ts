/** @file A ChunkStore in memory that can be filled up and damaged. */
import type { Bytes } from '../../../src/loaders/byte-source.ts';
import type { ChunkStore } from '../../../src/loaders/cache/chunk-store.ts';

/** Files by path. */
export class MemoryStore implements ChunkStore {
  readonly files = new Map<string, Bytes>();
  quota = Infinity;
  readonly #tails = new Map<string, Promise<unknown>>();

  read(path: string): Promise<Bytes | undefined> {
    return Promise.resolve(this.files.get(path)?.slice());
  }

  async write(path: string, bytes: Bytes): Promise<boolean> {
    await Promise.resolve();
    const others = this.usage() - (this.files.get(path)?.length ?? 0);
    if (others + bytes.length > this.quota) return false;
    this.files.set(path, bytes.slice());
    return true;
  }

  remove(path: string): Promise<void> {
    for (const name of this.files.keys())
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
    return Promise.resolve();
  }

  list(folder: string): Promise<readonly string[]> {
    const below = [...this.files.keys()].filter((name) => name.startsWith(`${folder}/`));
    return Promise.resolve([
      ...new Set(below.map((name) => name.slice(folder.length + 1).split('/')[0] ?? '')),
    ]);
  }

  async locked<Result>(
    name: string,
    _signal: AbortSignal | undefined,
    task: () => Promise<Result>,
  ): Promise<Result> {
    const before = this.#tails.get(name);
    const run = (async () => {
      await before;
      return task();
    })();
    this.#tails.set(
      name,
      run.catch(() => undefined),
    );
    return run;
  }

  estimate(): Promise<{ usage: number; quota: number }> {
    return Promise.resolve({ usage: this.usage(), quota: this.quota });
  }

  persist(): Promise<boolean> {
    return Promise.resolve(false);
  }

  usage(): number {
    let sum = 0;
    for (const bytes of this.files.values()) sum += bytes.length;
    return sum;
  }
}
