/**
 * @file WeightSource: named tensors of one file or several, described before and read one at a time.
 */
import { FileFormatError, NotFoundError } from '../errors.ts';
import { nearestNames } from '../nearest-names.ts';
import { STORED_DTYPES, type StoredDType } from '../tensor/dtype.ts';
import type { Bytes } from './byte-source.ts';

/** What is known about a tensor before it is read. */
export interface TensorInfo {
  readonly dtype: StoredDType;
  /** Row-major, outermost dimension first, as PyTorch has it. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** File that holds it, for messages. */
  readonly file: string;
}

/** Named tensors that are read one at a time. */
export interface WeightSource {
  /** File or index, for messages. */
  readonly name: string;
  names(): Iterable<string>;
  has(name: string): boolean;
  /** Throws NotFoundError, naming the nearest names, or FileFormatError if the element type cannot be read. */
  info(name: string): TensorInfo;
  /** All bytes of a tensor, little-endian. Throws as `info` does, and what the byte source throws. */
  read(name: string, signal?: AbortSignal): Promise<Bytes>;
  /** The same bytes in order, in pieces of at most `maxBytes` that hold whole elements. */
  readChunks(name: string, maxBytes: number, signal?: AbortSignal): AsyncIterable<Bytes>;
  close(): Promise<void>;
}

/**
 * The description of a tensor that must have this shape.
 * Throws NotFoundError if it is missing and FileFormatError if its shape is another one; nothing is read.
 */
export function expectTensor(weights: WeightSource, name: string, shape: readonly number[]): TensorInfo {
  const info = weights.info(name);
  if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i]))
    throw new FileFormatError(
      `has the shape [${info.shape.join(', ')}], but the configuration asks for [${shape.join(', ')}]`,
      {
        file: info.file,
        field: name,
        remedy: 'Use the weights and the config.json of one and the same model',
      },
    );
  return info;
}

/** Bytes per piece so that pieces hold whole elements. Throws RangeError if not even one fits. */
export function chunkBytes(dtype: StoredDType, maxBytes: number): number {
  const size = STORED_DTYPES[dtype];
  const bytes = Math.floor(maxBytes / size) * size;
  if (!(bytes > 0))
    throw new RangeError(`pieces of ${maxBytes} bytes cannot hold an element of ${size} bytes`);
  return bytes;
}

/** NotFoundError for a tensor, with the names that are most like it. */
export function missingTensor(weights: WeightSource, name: string): NotFoundError {
  const near = nearestNames(name, weights.names());
  const hint =
    near.length === 0 ? 'The file has no tensors' : `The nearest names there are ${near.join(', ')}`;
  return new NotFoundError('there is no such tensor', {
    file: weights.name,
    field: name,
    remedy: `${hint}; use the weights and the config.json of one and the same model`,
  });
}
