/**
 * @file Local files and folders under Node (and Deno, which has the same modules).
 */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileFormatError, NotFoundError } from '../errors.ts';
import { type ByteSource, type Bytes, checkRange, shortRead } from '../loaders/byte-source.ts';
import { checkPath, type ModelSource } from '../loaders/model-source.ts';

/** One system call reads at most 2^31 - 1 bytes. */
const MAX_READ = 1 << 30;

/** Codes of file system errors that mean that there is no such file. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR']);

/** The `code` of a Node system error; undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Opens a local file. Throws NotFoundError if there is none, FileFormatError if it cannot be opened or is no file. */
export async function openNodeFile(path: string): Promise<ByteSource> {
  const source = await openIfThere(path);
  if (source !== undefined) return source;
  throw new NotFoundError('there is no such file', { file: path, remedy: 'Check the path and its spelling' });
}

/** What looking at a path gives; undefined where there is nothing. Throws FileFormatError where it may not be read. */
export async function ifThere<T>(path: string, look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code === undefined) throw cause;
    if (ABSENT.has(code)) return undefined;
    throw new FileFormatError(`could not be read (${code})`, {
      file: path,
      remedy: 'Check the path, and that you may read it',
      cause,
    });
  }
}

async function openIfThere(path: string): Promise<ByteSource | undefined> {
  const handle = await ifThere(path, () => open(path, 'r'));
  if (handle === undefined) return undefined;
  const stats = await handle.stat();
  if (stats.isFile()) return new NodeFileSource(path, stats.size, handle);
  await handle.close();
  throw new FileFormatError('is not a file', { file: path, remedy: 'Name a file' });
}

class NodeFileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(path: string, size: number, handle: FileHandle) {
    this.name = path;
    this.size = size;
    this.#handle = handle;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Bytes> {
    signal?.throwIfAborted();
    checkRange(this, offset, length);
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(
        bytes,
        filled,
        Math.min(length - filled, MAX_READ),
        offset + filled,
      );
      if (bytesRead === 0) throw shortRead(this, offset, length, filled);
      filled += bytesRead;
      signal?.throwIfAborted();
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** A model folder on disk; links inside it are followed. Throws NotFoundError if there is no such folder. */
export async function nodeFolderSource(folder: string): Promise<ModelSource> {
  const stats = await ifThere(folder, () => stat(folder));
  if (stats?.isDirectory() !== true)
    throw new NotFoundError(stats === undefined ? 'there is no such folder' : 'is not a folder', {
      file: folder,
      remedy:
        stats?.isFile() === true
          ? 'Load a single checkpoint with fromSingleFile, or name the folder that holds model_index.json'
          : 'Name the folder that holds model_index.json',
    });
  return {
    name: folder,
    async open(path) {
      checkPath(folder, path);
      return openIfThere(join(folder, path));
    },
    async exists(path) {
      checkPath(folder, path);
      return isFile(join(folder, path));
    },
    list: async (subfolder) => listFiles(join(folder, subfolder)),
  };
}

/** Whether there is a file (or a link to one) at a path. */
export async function isFile(path: string): Promise<boolean> {
  return (await ifThere(path, () => stat(path)))?.isFile() ?? false;
}

/** Names of the files in a folder, links included; none if there is no such folder. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = (await ifThere(folder, () => readdir(folder, { withFileTypes: true }))) ?? [];
  return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
}
