/**
 * @file Tensors of a file under other names, the few that are stored in another form changed as they are read.
 */
import type { Bytes } from '../byte-source.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import { chunkBytes, missingTensor, type TensorInfo, type WeightSource } from '../weight-source.ts';
import { STORED_DTYPES } from '../../tensor/dtype.ts';

/** How a file holds a tensor. */
export interface StoredTensor {
  /** Its name in the file. */
  readonly name: string;
  /**
   * `squeeze`: without its trailing dimensions of 1, after the first two (a 1x1 convolution that is a linear layer);
   * `transpose`: a matrix with rows and columns exchanged; `part`: one of equal parts along the first dimension.
   */
  readonly change?:
    | { readonly kind: 'squeeze' }
    | { readonly kind: 'transpose' }
    | { readonly kind: 'part'; readonly index: number; readonly count: number };
}

/** Where each tensor of a component lies in a file. */
export type TensorMap = ReadonlyMap<string, StoredTensor>;

/**
 * A component's tensors inside a file.
 * @param close lets go of the file, as far as this component is concerned
 */
export function mappedWeights(
  file: SafetensorsFile,
  tensors: TensorMap,
  close: () => Promise<void>,
): WeightSource {
  return new MappedWeights(file, tensors, close);
}

class MappedWeights implements WeightSource {
  readonly name: string;
  readonly close: () => Promise<void>;
  readonly #file: SafetensorsFile;
  readonly #tensors: TensorMap;

  constructor(file: SafetensorsFile, tensors: TensorMap, close: () => Promise<void>) {
    this.name = file.name;
    this.close = close;
    this.#file = file;
    this.#tensors = tensors;
  }

  names(): Iterable<string> {
    return this.#tensors.keys();
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { name: stored, change } = this.#stored(name);
    const info = this.#file.info(stored);
    const { shape } = info;
    switch (change?.kind) {
      case 'squeeze':
        return { ...info, shape: squeezed(shape) };
      case 'transpose':
        // A tensor that is no matrix stays as it is, and is refused for its shape by whoever expects one.
        return { ...info, shape: shape.length === 2 ? shape.toReversed() : shape };
      case 'part':
        // A first dimension that cannot be split keeps its fraction and is refused in the same way.
        return {
          ...info,
          shape: [shape[0] / change.count, ...shape.slice(1)],
          byteLength: info.byteLength / change.count,
        };
      case undefined:
        return info;
    }
  }

  async read(name: string, signal?: AbortSignal): Promise<Bytes> {
    const { name: stored, change } = this.#stored(name);
    switch (change?.kind) {
      case 'transpose': {
        const { dtype, shape } = this.#file.info(stored);
        return transposed(await this.#file.read(stored, signal), shape, STORED_DTYPES[dtype]);
      }
      case 'part': {
        const { byteLength } = this.info(name);
        return this.#file.readRange(stored, change.index * byteLength, byteLength, signal);
      }
      default:
        return this.#file.read(stored, signal);
    }
  }

  async *readChunks(name: string, maxBytes: number, signal?: AbortSignal): AsyncGenerator<Bytes, void, void> {
    const { name: stored, change } = this.#stored(name);
    if (change === undefined || change.kind === 'squeeze') {
      yield* this.#file.readChunks(stored, maxBytes, signal);
      return;
    }
    const step = chunkBytes(this.info(name).dtype, maxBytes);
    const bytes = await this.read(name, signal);
    for (let at = 0; at < bytes.length; at += step) yield bytes.slice(at, at + step);
  }

  #stored(name: string): StoredTensor {
    const stored = this.#tensors.get(name);
    if (stored === undefined) throw missingTensor(this, name);
    return stored;
  }
}

/** [out, in, 1, 1] as [out, in]; real convolutions stay as they are. */
function squeezed(shape: readonly number[]): readonly number[] {
  return shape.slice(2).every((size) => size === 1) ? shape.slice(0, 2) : shape;
}

/** Element bytes [rows, columns] as [columns, rows]. */
function transposed(bytes: Bytes, shape: readonly number[], elementBytes: number): Bytes {
  if (shape.length !== 2) return bytes;
  const [rows, columns] = shape;
  const out = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const from = (row * columns + column) * elementBytes;
      out.set(bytes.subarray(from, from + elementBytes), (column * rows + row) * elementBytes);
    }
  return out;
}
