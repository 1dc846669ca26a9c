/**
 * @file A component's tensors as weight stores read them: as they are stored, or, within a budget of memory, of narrower types, and
 * held by the host once they were read.
 */

import type { LowRankSum, WeightReader } from '../../backends/backend.ts';
import type { StoredDType } from '../../tensor/dtype.ts';

/** Tensors that were read before. */
export interface HeldTensors {
  /** Undefined where it is not held in this type. */
  get(name: string, dtype: StoredDType): Uint8Array | undefined;
  put(name: string, dtype: StoredDType, bytes: Uint8Array): void;
  drop(name: string): void;
}

/** Gives tensors other types than they are stored in. */
export interface TensorCast {
  /** The type of a tensor that is stored in this one. */
  typeOf(name: string, stored: StoredDType): StoredDType;
  /** Stored bytes in that type. Throws FileFormatError for numbers that it has no code for. */
  convert(bytes: Uint8Array, info: ReturnType<WeightReader['info']>, name: string): Promise<Uint8Array>;
}

/** Reads through another reader, which can be exchanged. */
export class ReaderSlot implements WeightReader {
  now: WeightReader;

  constructor(first: WeightReader) {
    this.now = first;
  }

  info(name: string): ReturnType<WeightReader['info']> {
    return this.now.info(name);
  }

  read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    return this.now.read(name, signal);
  }

  lowRank(name: string): LowRankSum | undefined {
    return this.now.lowRank?.(name);
  }

  letGo(name: string): void {
    this.now.letGo?.(name);
  }
}

/** Reads stored tensors. */
export class TensorReader implements WeightReader {
  /** Undefined where types are the stored ones. */
  cast: TensorCast | undefined;
  /** Undefined where the host holds nothing. */
  held: HeldTensors | undefined;
  readonly #stored: WeightReader;

  constructor(stored: WeightReader) {
    this.#stored = stored;
  }

  info(name: string): ReturnType<WeightReader['info']> {
    const info = this.#stored.info(name);
    return this.cast ? { ...info, dtype: this.cast.typeOf(name, info.dtype) } : info;
  }

  async read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const { dtype } = this.info(name);
    const known = this.held?.get(name, dtype);
    if (known) return known;
    const stored = await this.#stored.read(name, signal);
    const bytes = this.cast ? await this.cast.convert(stored, this.#stored.info(name), name) : stored;
    this.held?.put(name, dtype, bytes);
    return bytes;
  }

  letGo(name: string): void {
    this.held?.drop(name);
  }
}
