/**
 * @file ByteSource: random access to the bytes of one file, wherever it is, without ever holding all of it.
 */
import { FileFormatError } from '../errors.ts';

/** Bytes that own an ordinary (not shared) buffer, as GPU uploads and Blobs ask for. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** One file, read in pieces. */
export interface ByteSource {
  /** Path or URL, for messages. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /**
   * Tells this content from any other under the same name: `sha256:<hex>` or `git:<hex>` where a repository names the
   * content by its hash, else what the server says (ETag or date, and size). Undefined where nothing is known.
   */
  readonly version?: string | undefined;
  /**
   * Exactly `length` bytes from `offset`, in a buffer of the caller's own; never fewer.
   * Throws FileFormatError for a range that is not inside the file and DownloadError where a network fails.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Bytes>;
  /** Lets go of handles. Reading afterwards is an error. */
  close?(): Promise<void>;
}

/** Throws FileFormatError unless `offset..offset + length` lies inside the source. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
    throw new RangeError(`bad byte range: offset ${offset}, length ${length}`);
  if (offset + length > source.size)
    throw new FileFormatError(
      `has ${source.size} bytes, but bytes ${offset} to ${offset + length} are needed`,
      { file: source.name, remedy: 'The file was cut short; get it again' },
    );
}

/** FileFormatError for a file that gave fewer bytes than its size promised. */
export function shortRead(source: ByteSource, offset: number, wanted: number, got: number): FileFormatError {
  return new FileFormatError(`gave ${got} of ${wanted} bytes at offset ${offset}`, {
    file: source.name,
    remedy:
      'The file changed or shrank while it was read; make sure that nothing writes to it, and try again',
  });
}

/** Bytes that are in memory already. */
export function bufferSource(name: string, bytes: Uint8Array | ArrayBuffer): ByteSource {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const source: ByteSource = {
    name,
    size: view.byteLength,
    // A copy, so that a caller may transfer or overwrite what it got.
    read(offset, length, signal) {
      return Promise.resolve().then(() => {
        signal?.throwIfAborted();
        checkRange(source, offset, length);
        return new Uint8Array(view.subarray(offset, offset + length));
      });
    },
  };
  return source;
}

/** A Blob or File, as a browser's file picker gives it; read from disk piece by piece. */
export function blobSource(name: string, blob: Blob): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(source, offset, length);
      let buffer: ArrayBuffer;
      try {
        buffer = await blob.slice(offset, offset + length).arrayBuffer();
      } catch (cause) {
        throw new FileFormatError('could not be read', {
          file: name,
          remedy: 'The file was moved, deleted or changed since it was picked; pick it again',
          cause,
        });
      }
      signal?.throwIfAborted();
      if (buffer.byteLength !== length) throw shortRead(source, offset, length, buffer.byteLength);
      return new Uint8Array(buffer);
    },
  };
  return source;
}

/** The whole of a file as UTF-8 text. Throws FileFormatError for a file over `maxBytes` or one that is not UTF-8. */
export async function readUtf8(source: ByteSource, maxBytes: number, signal?: AbortSignal): Promise<string> {
  return decodeUtf8(await readLimited(source, maxBytes, signal), source.name);
}

/** A whole file that is known to be small. Throws FileFormatError if it is over `maxBytes`, and what `read` throws. */
export async function readLimited(
  source: ByteSource,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (source.size > maxBytes)
    throw new FileFormatError(`has ${source.size} bytes, over the ${maxBytes} allowed for such a file`, {
      file: source.name,
      remedy: 'Check that it is the file that its name says',
    });
  return source.read(0, source.size, signal);
}

/** UTF-8 bytes as text. Throws FileFormatError for invalid ones. */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FileFormatError('is not valid UTF-8 text', {
      file,
      remedy: 'Check that it is the file that its name says, and get it again',
      cause,
    });
  }
}
