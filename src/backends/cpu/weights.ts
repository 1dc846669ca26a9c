/**
 * @file Weights in linear memory: read tensor by tensor, packed by the kernels' threads, shared by programs.
 *
 * Stored bytes are copied to a temporary range, and a packing's launches make the packed weight of it: the host never
 * holds more than one stored tensor. A weight that two kernels want in two layouts is there twice.
 */

import type { Weight } from '../../graph/graph.ts';
import { decodeToF16, decodeToF32 } from '../../tensor/decode.ts';
import type { StoredDType } from '../../tensor/dtype.ts';
import type { RefreshOptions, WeightReader, WeightStore } from '../backend.ts';
import { checkWeight, isPartOf, SharedLoads, weightName } from '../weight-loading.ts';
import type { Engine } from './engine.ts';
import {
  elementCount,
  WEIGHT_TYPE_BYTES,
  WEIGHT_TYPES,
  type WeightPacking,
  type WeightType,
} from './kernel.ts';
import { writeLaunches } from './launch-list.ts';
import type { Range } from './memory.ts';

/** A weight in the layout that a kernel wants. */
export interface WeightRequest {
  readonly weight: Weight;
  /** Shape of the value; parts are stacked along its first axis. */
  readonly shape: readonly number[];
  /** Whether types wider than 16 bits are to be rounded to halves. */
  readonly half: boolean;
  readonly packing: WeightPacking;
}

/** What identifies a request: equal keys share a range. */
export function requestKey({ weight, shape, half, packing }: WeightRequest): string {
  return JSON.stringify([weight.parts.map((part) => part.name), shape, half, packing.key]);
}

/** The stored type if all parts have it and kernels can read it; what is wider than halves where those are asked for is not. */
export function packedType(
  { weight, half }: WeightRequest,
  storedType: (tensor: string) => StoredDType,
): WeightType {
  const types = new Set(weight.parts.map(({ name }) => storedType(name)));
  const [stored] = types;
  const type = types.size === 1 && isWeightType(stored) ? stored : 'F32';
  return half && (type === 'F32' || type === 'BF16') ? 'F16' : type;
}

/** Bytes that a request takes in memory. */
export function packedBytes({ packing, shape }: WeightRequest, type: WeightType): number {
  return packing.bytes(shape, type) + READ_AHEAD_BYTES;
}

/** Bytes of stored tensors that may wait to be packed before reading goes on. */
export const MAX_PENDING_BYTES = 32 * 1024 * 1024;
/** Kernels may read so far past a range's end. */
const READ_AHEAD_BYTES = 16;

function isWeightType(dtype: StoredDType): dtype is WeightType & StoredDType {
  return WEIGHT_TYPES.some((type) => type === dtype);
}

/** A weight in memory. It moves when a wider type is needed than it was laid out in: see `CpuWeights.layout`. */
export interface LoadedWeight {
  readonly request: WeightRequest;
  readonly range: Range;
  readonly type: WeightType;
}

/** Ranges of packed weights, by request. */
export class CpuWeights implements WeightStore {
  readonly engine: Engine;
  readonly #reader: WeightReader;
  readonly #loads = new SharedLoads<LoadedWeight>();
  readonly #loaded = new Map<string, LoadedWeight>();
  #layout = 0;
  #bytes = 0;
  #pendingBytes = 0;

  constructor(engine: Engine, reader: WeightReader) {
    this.engine = engine;
    this.#reader = reader;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Checks a request before anything is read; throws as `checkWeight` does. */
  checkRequest({ weight }: WeightRequest): void {
    checkWeight(weight, this.#reader);
  }

  /** Counts how often weights have moved: launches that were written for another layout must be written again. */
  get layout(): number {
    return this.#layout;
  }

  /** The element type that packings get to see. */
  typeOf(request: WeightRequest): WeightType {
    return this.#loaded.get(requestKey(request))?.type ?? this.#ownType(request);
  }

  /** The range of a request that is loaded, where it is now. */
  rangeOf(request: WeightRequest): Range {
    return this.#loaded.get(requestKey(request))!.range;
  }

  #ownType(request: WeightRequest): WeightType {
    return packedType(request, (name) => this.#reader.info(name).dtype);
  }

  /** Bytes that a request will take in memory; 0 if it is there. */
  missingBytes(request: WeightRequest): number {
    return this.#loads.has(requestKey(request)) ? 0 : packedBytes(request, this.typeOf(request));
  }

  /** The range of a request, loaded if it is not there. It may be used by what is queued from now on. */
  load(request: WeightRequest, signal?: AbortSignal): Promise<LoadedWeight> {
    const key = requestKey(request);
    return this.#loads.get(key, async () => {
      const loaded = await this.#load(request, this.#ownType(request), signal);
      this.#loaded.set(key, loaded);
      return loaded;
    });
  }

  /** Overwrites packed weights where they are; those whose type is too narrow for a sum move, once, to wider ones. */
  async refresh(names: ReadonlySet<string>, { signal }: RefreshOptions = {}): Promise<void> {
    for (const [key, { request, range, type }] of this.#loaded) {
      if (!isPartOf(request.weight, names)) continue;
      const own = this.#ownType(request);
      if (WEIGHT_TYPE_BYTES[own] <= WEIGHT_TYPE_BYTES[type]) {
        await this.#pack(request, type, range, signal);
        continue;
      }
      this.#loaded.set(key, await this.#load(request, own, signal));
      this.#layout++;
      this.#bytes -= range.bytes;
      void this.engine.releaseLater([range]);
    }
  }

  forget(tensor: string): void {
    this.#loads.forget(tensor, (loaded) => this.#release(loaded));
  }

  dispose(): void {
    this.#loads.clear((loaded) => this.#release(loaded));
  }

  /** Frees a weight where it is now. */
  #release({ request, range }: LoadedWeight): void {
    const key = requestKey(request);
    const now = this.#loaded.get(key)?.range ?? range;
    this.#loaded.delete(key);
    this.#bytes -= now.bytes;
    void this.engine.releaseLater([now]);
  }

  async #load(request: WeightRequest, type: WeightType, signal?: AbortSignal): Promise<LoadedWeight> {
    const { memory } = this.engine;
    const name = weightName(request.weight);
    const range = memory.allocate(packedBytes(request, type), `weight "${name}"`);
    try {
      memory.bytes(range.address, range.bytes).fill(0);
      await this.#pack(request, type, range, signal);
    } catch (error) {
      void this.engine.releaseLater([range]);
      throw error;
    }
    this.#bytes += range.bytes;
    return { request, range, type };
  }

  /** Queues the packing of a weight's parts, one after the other. */
  async #pack(
    { weight, shape, packing }: WeightRequest,
    type: WeightType,
    packed: Range,
    signal?: AbortSignal,
  ): Promise<void> {
    const { memory } = this.engine;
    const rowElements = elementCount(shape.slice(1));
    let firstRow = 0;
    for (const part of weight.parts) {
      signal?.throwIfAborted();
      const bytes = await this.#read(part.name, type, signal);
      const rows = elementCount(part.shape) / rowElements;
      const source = memory.allocate(bytes.length + READ_AHEAD_BYTES, `the stored bytes of "${part.name}"`);
      memory.bytes(source.address, bytes.length).set(bytes);
      const addressOf = (operand: string): number => (operand === 'source' ? source : packed).address;
      const launches = packing.launches({ type, shape, firstRow, rows });
      const list = writeLaunches(
        this.engine,
        launches.map((launch) => ({ launch, addressOf })),
        `packing "${part.name}"`,
      );
      this.engine.run(list.address);
      const done = this.engine.releaseLater([source, list.range]);
      firstRow += rows;
      this.#pendingBytes += bytes.length;
      if (this.#pendingBytes >= MAX_PENDING_BYTES) {
        await done;
        this.#pendingBytes = 0;
      }
    }
  }

  /** A part's bytes in the given type. */
  async #read(name: string, type: WeightType, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#reader.read(name, signal);
    const { dtype } = this.#reader.info(name);
    if (dtype === type) return bytes;
    const numbers = type === 'F16' ? decodeToF16(bytes, dtype) : decodeToF32(bytes, dtype);
    return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  }
}
