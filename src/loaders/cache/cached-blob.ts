/**
 * @file One file in the cache: chunks, each with its SHA-256, and a manifest. A file is used once all of it is there
 * and, where the Hub gave a hash, once the whole has that hash; each chunk is checked again whenever it is read.
 */
import * as v from 'valibot';
import { DownloadError, FileFormatError } from '../../errors.ts';
import { type ByteSource, type Bytes, checkRange } from '../byte-source.ts';
import type { ChunkStore } from './chunk-store.ts';
import { hashOfVersion, sha256 } from './digest.ts';
import { readSealed, writeSealed } from './sealed-json.ts';

const manifestSchema = v.object({
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  chunkBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  complete: v.boolean(),
  /** SHA-256 of each chunk from the first on, as far as they have come. */
  digests: v.array(v.string()),
});
type Manifest = v.InferOutput<typeof manifestSchema>;

/** Bytes of a file that have come, of all. */
export type BlobProgress = (phase: 'download' | 'verify', done: number, total: number) => void;

/** Folder of a blob. */
export function blobFolder(key: string): string {
  return `blobs/${key}`;
}

const chunkPath = (key: string, index: number): string => `${blobFolder(key)}/${index}`;
const manifestPath = (key: string): string => `${blobFolder(key)}/manifest`;

const readManifest = (store: ChunkStore, key: string): Promise<Manifest | undefined> =>
  readSealed(store, manifestPath(key), manifestSchema);

/** Bytes that a blob takes, as far as it has come; 0 if it is not there. */
export async function blobBytes(store: ChunkStore, key: string): Promise<number> {
  const manifest = await readManifest(store, key);
  return manifest ? Math.min(manifest.size, manifest.digests.length * manifest.chunkBytes) : 0;
}

/**
 * Brings a file into the cache, going on where an earlier try stopped; nothing is done if it is there.
 * @param version what tells the content from any other; see `ByteSource.version`
 * @returns false if there is no room
 * @throws DownloadError for content without the hash that the version names (what came is removed then), and what
 * the source throws
 */
export async function fillBlob(
  store: ChunkStore,
  key: string,
  source: ByteSource,
  version: string,
  chunkBytes: number,
  signal?: AbortSignal,
  onProgress: BlobProgress = () => undefined,
): Promise<boolean> {
  return store.locked(key, signal, async () => {
    const known = await readManifest(store, key);
    const usable = known?.size === source.size && known.chunkBytes === chunkBytes ? known : undefined;
    if (usable?.complete) return true;
    const digests = [...(usable?.digests ?? [])];
    const manifest = (complete: boolean): Manifest => ({
      size: source.size,
      chunkBytes,
      complete,
      digests,
    });
    const whole = hashOfVersion(version, source.size);
    const count = Math.ceil(source.size / chunkBytes);
    for (let index = 0; index < count; index++) {
      signal?.throwIfAborted();
      const offset = index * chunkBytes;
      const length = Math.min(chunkBytes, source.size - offset);
      let chunk = await readChunk(store, key, index, length, digests[index]);
      const resumed = chunk !== undefined;
      if (chunk === undefined) {
        chunk = await source.read(offset, length, signal);
        // All later ones came from an earlier try, which a damaged chunk puts in doubt.
        digests.length = index;
        digests.push(await sha256(chunk));
        if (!(await store.write(chunkPath(key, index), chunk))) return false;
        if (!(await writeSealed(store, manifestPath(key), manifest(false)))) return false;
      }
      whole?.update(chunk);
      onProgress(resumed ? 'verify' : 'download', offset + length, source.size);
    }
    if (whole && !whole.matches()) {
      await store.remove(blobFolder(key));
      throw new DownloadError('the content does not have the hash that the repository gives for it', {
        file: source.name,
        remedy: 'It changed or was damaged on its way and is not kept. Try again',
      });
    }
    return writeSealed(store, manifestPath(key), manifest(true));
  });
}

/** A chunk of the store, if it has this digest. */
async function readChunk(
  store: ChunkStore,
  key: string,
  index: number,
  length: number,
  digest: string | undefined,
): Promise<Bytes | undefined> {
  if (digest === undefined) return undefined;
  const chunk = await store.read(chunkPath(key, index));
  return chunk?.length === length && (await sha256(chunk)) === digest ? chunk : undefined;
}

/**
 * A complete blob as a file; undefined if it is not complete.
 * @param remote where a damaged chunk is got again; without it reading one throws FileFormatError
 */
export async function openBlob(
  store: ChunkStore,
  key: string,
  name: string,
  remote: ByteSource | undefined,
): Promise<ByteSource | undefined> {
  const manifest = await readManifest(store, key);
  return manifest?.complete ? new CachedBlob(store, key, name, manifest, remote) : undefined;
}

class CachedBlob implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #store: ChunkStore;
  readonly #key: string;
  readonly #manifest: Manifest;
  readonly #remote: ByteSource | undefined;
  /** The chunk read last: tensors are mostly read in the order of the file. */
  #last: { readonly index: number; readonly chunk: Promise<Bytes> } | undefined;

  constructor(
    store: ChunkStore,
    key: string,
    name: string,
    manifest: Manifest,
    remote: ByteSource | undefined,
  ) {
    this.name = name;
    this.size = manifest.size;
    this.#store = store;
    this.#key = key;
    this.#manifest = manifest;
    this.#remote = remote;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Bytes> {
    signal?.throwIfAborted();
    checkRange(this, offset, length);
    const into = new Uint8Array(length);
    const { chunkBytes } = this.#manifest;
    for (let at = offset; at < offset + length;) {
      const index = Math.floor(at / chunkBytes);
      const chunk = await this.#chunk(index, signal);
      const piece = chunk.subarray(at - index * chunkBytes, offset + length - index * chunkBytes);
      into.set(piece, at - offset);
      at += piece.length;
    }
    return into;
  }

  async close(): Promise<void> {
    this.#last = undefined;
    await this.#remote?.close?.();
  }

  async #chunk(index: number, signal: AbortSignal | undefined): Promise<Bytes> {
    if (this.#last?.index === index) return this.#last.chunk;
    const chunk = this.#load(index, signal);
    const last = { index, chunk };
    this.#last = last;
    chunk.catch(() => {
      if (this.#last === last) this.#last = undefined;
    });
    return chunk;
  }

  /** A chunk from the store; a damaged one is got again, and must then be what it was. */
  async #load(index: number, signal: AbortSignal | undefined): Promise<Bytes> {
    const { size, chunkBytes, digests } = this.#manifest;
    const offset = index * chunkBytes;
    const length = Math.min(chunkBytes, size - offset);
    const digest = digests[index];
    const kept = await readChunk(this.#store, this.#key, index, length, digest);
    if (kept) return kept;
    const again = await this.#remote?.read(offset, length, signal);
    if (again === undefined || (await sha256(again)) !== digest)
      throw new FileFormatError('the copy in the cache is damaged', {
        file: this.name,
        remedy: again
          ? 'The original has changed too: load the model again'
          : 'Connect to the network and load the model again, or remove it from the cache',
      });
    await this.#store.write(chunkPath(this.#key, index), again);
    return again;
  }
}
