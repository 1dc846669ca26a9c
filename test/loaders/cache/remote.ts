/** @file A server of model files whose network can fail, for tests of caches. */
import { createHash } from 'node:crypto';
import { bufferSource, type ByteSource } from '../../../src/loaders/byte-source.ts';
import { InterruptedDownloadError } from '../../../src/loaders/http.ts';
import type { ModelSource } from '../../../src/loaders/model-source.ts';

/** A server of files whose network can fail. */
export class Remote implements ModelSource {
  readonly name: string;
  readonly files = new Map<string, Uint8Array>();
  /** Versions that the server claims; by default the sha256 of the content. */
  readonly versions = new Map<string, string | undefined>();
  beforeRead: () => void = () => undefined;
  online = true;
  reads = 0;

  constructor(name = 'https://host/model') {
    this.name = name;
  }

  async open(path: string): Promise<ByteSource | undefined> {
    await this.#reach();
    const data = this.files.get(path);
    if (data === undefined) return undefined;
    const source = bufferSource(`${this.name}/${path}`, data);
    const version = this.versions.has(path) ? this.versions.get(path) : `sha256:${hex(data)}`;
    return {
      ...source,
      version,
      read: async (offset, length, signal) => {
        await this.#reach();
        this.reads++;
        return source.read(offset, length, signal);
      },
    };
  }

  async exists(path: string): Promise<boolean> {
    await this.#reach();
    return this.files.has(path);
  }

  async list(): Promise<readonly string[]> {
    await this.#reach();
    return [...this.files.keys()];
  }

  async #reach(): Promise<void> {
    await Promise.resolve();
    this.beforeRead();
    if (!this.online) throw new InterruptedDownloadError('no network', { remedy: 'Connect' });
  }
}

export const hex = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
/** Bytes that differ from place to place. */
export const content = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);

/** A whole file; undefined if there is none. */
export async function readAll(model: ModelSource, path: string): Promise<Uint8Array | undefined> {
  const file = await model.open(path);
  return file && file.read(0, file.size);
}
