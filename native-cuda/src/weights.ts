/**
 * @file Weights on a card: read tensor by tensor, converted and packed by kernels there, shared by programs.
 *
 * Stored bytes go to the card as they are. The copy of a tensor goes on while the next is read; the host never holds more
 * than one. A weight that two kernels want in two layouts is there twice.
 */

import {
  checkWeight,
  decodeToF32,
  DEVICE_DTYPE_BYTES,
  isPartOf,
  SharedLoads,
  STORED_DTYPES,
  weightName,
  type FloatDType,
  type RefreshOptions,
  type StoredDType,
  type Weight,
  type WeightReader,
  type WeightStore,
} from 'calotype/backend-kit';
import type { OpenDevice, Range } from './device.ts';
import { elementCode, elementCount, type WeightPacking } from './kernel.ts';
import { convertWeightLaunch } from './kernels/packing.ts';
import type { CudaLaunch } from './launch.ts';

/** A weight in the layout that a kernel wants. */
export interface WeightRequest {
  readonly weight: Weight;
  /** Shape of the value; parts are stacked along its first axis. */
  readonly shape: readonly number[];
  readonly dtype: FloatDType;
  readonly packing: WeightPacking;
}

/** What identifies a request: equal keys share a range. */
export function requestKey({ weight, shape, dtype, packing }: WeightRequest): string {
  return JSON.stringify([weight.parts.map((part) => part.name), shape, dtype, packing.key]);
}

/** Bytes of a request's range. */
export function packedBytes({ shape, dtype, packing }: WeightRequest): number {
  return packing.bytes(shape, DEVICE_DTYPE_BYTES[dtype]);
}

/** Stored types that kernels/weights.cu reads, by their numbers there; others become F32 on the host. */
const STORED_TYPES: readonly StoredDType[] = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'];

/** The stored type with a device type's bits. */
const SAME_BITS = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

/** The type in which a tensor's bytes go to the card. */
function givenType(stored: StoredDType): StoredDType {
  return STORED_TYPES.includes(stored) ? stored : 'F32';
}

/** Bytes that loading a request takes beside its range: of one part in its stored type, and of the whole before it is packed. */
export function loadBytes(
  { weight, shape, dtype, packing }: WeightRequest,
  storedType: (tensor: string) => StoredDType,
): number {
  const parts = weight.parts.map((part) => {
    const given = givenType(storedType(part.name));
    return given === SAME_BITS[dtype] ? 0 : elementCount(part.shape) * STORED_DTYPES[given];
  });
  const plain = packing.launch ? elementCount(shape) * DEVICE_DTYPE_BYTES[dtype] : 0;
  return plain + Math.max(0, ...parts);
}

/** Bytes that may be queued before reading goes on: what is waiting keeps temporary ranges alive. */
const MAX_PENDING_BYTES = 256 * 1024 * 1024;

/** Ranges of packed weights, by request. */
export class CudaWeights implements WeightStore {
  readonly device: OpenDevice;
  readonly #reader: WeightReader;
  readonly #loads = new SharedLoads<Range>();
  readonly #loaded = new Map<string, { readonly request: WeightRequest; readonly range: Range }>();
  #bytes = 0;
  #pendingBytes = 0;

  constructor(device: OpenDevice, reader: WeightReader) {
    this.device = device;
    this.#reader = reader;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Checks a request before anything is read; throws as `checkWeight` does. */
  checkRequest({ weight }: WeightRequest): void {
    checkWeight(weight, this.#reader);
  }

  /** The range of a request, loaded if it is not there. It may be used by what is queued from now on. */
  load(request: WeightRequest, signal?: AbortSignal): Promise<Range> {
    return this.#loads.get(requestKey(request), () => this.#load(request, signal));
  }

  forget(tensor: string): void {
    for (const [key, { request }] of this.#loaded)
      if (isPartOf(request.weight, new Set([tensor]))) this.#loaded.delete(key);
    this.#loads.forget(tensor, (range) => {
      this.#bytes -= range.bytes;
      this.device.release(range);
    });
  }

  dispose(): void {
    this.#loads.clear((range) => this.device.release(range));
    this.#loaded.clear();
    this.#bytes = 0;
  }

  /** Overwrites ranges where they are, in the order of what is queued. */
  async refresh(names: ReadonlySet<string>, { signal }: RefreshOptions = {}): Promise<void> {
    for (const { request, range } of this.#loaded.values())
      if (isPartOf(request.weight, names)) await this.#fill(request, range, signal);
  }

  async #load(request: WeightRequest, signal?: AbortSignal): Promise<Range> {
    const range = this.device.allocate(packedBytes(request), `weight "${weightName(request.weight)}"`);
    try {
      await this.#fill(request, range, signal);
    } catch (error) {
      this.device.release(range);
      throw error;
    }
    this.#bytes += range.bytes;
    this.#loaded.set(requestKey(request), { request, range });
    return range;
  }

  #packLaunch({ shape, dtype, packing }: WeightRequest): CudaLaunch | undefined {
    return packing.launch?.(shape, elementCode(dtype));
  }

  /** Reads a weight and queues what makes it up. */
  async #fill(request: WeightRequest, { address }: Range, signal?: AbortSignal): Promise<void> {
    const { weight, shape, dtype } = request;
    const launch = this.#packLaunch(request);
    if (!launch) return this.#writeParts(request, address, signal);
    const name = weightName(weight);
    const plain = this.device.allocate(elementCount(shape) * DEVICE_DTYPE_BYTES[dtype], `weight "${name}"`);
    try {
      await this.#writeParts(request, plain.address, signal);
      this.#launch(launch, name, (operand) => (operand === 'source' ? plain.address : address));
    } finally {
      this.device.release(plain);
    }
  }

  /** Queues all parts as torch stores them, in the wanted type, from an address on. */
  async #writeParts({ weight, dtype }: WeightRequest, address: bigint, signal?: AbortSignal): Promise<void> {
    let next = address;
    for (const part of weight.parts) {
      signal?.throwIfAborted();
      const bytes = await this.#reader.read(part.name, signal);
      const count = elementCount(part.shape);
      this.#write(bytes, this.#reader.info(part.name).dtype, {
        address: next,
        count,
        dtype,
        name: part.name,
      });
      next += BigInt(count * DEVICE_DTYPE_BYTES[dtype]);
      await this.#drain(bytes.length);
    }
  }

  /** Queues a tensor's stored bytes to become elements at an address. */
  #write(
    bytes: Uint8Array,
    stored: StoredDType,
    to: {
      readonly address: bigint;
      readonly count: number;
      readonly dtype: FloatDType;
      readonly name: string;
    },
  ): void {
    const { address, count, dtype, name } = to;
    const given = givenType(stored);
    const data = given === stored ? bytes : decodeToF32(bytes, stored);
    if (given === SAME_BITS[dtype]) return this.device.write(address, data, `weight "${name}"`);
    const source = this.device.allocate(data.byteLength, `the stored bytes of "${name}"`);
    try {
      this.device.write(source.address, data, `weight "${name}"`);
      const type = STORED_TYPES.indexOf(given);
      const element = elementCode(dtype);
      const launch = convertWeightLaunch.with({ stored: 'stored', y: 'y', count, type, element });
      this.#launch(launch, name, (operand) => (operand === 'stored' ? source.address : address));
    } finally {
      this.device.release(source);
    }
  }

  #launch(launch: CudaLaunch, name: string, addressOf: (operand: string) => bigint): void {
    const list = this.device.encode([{ launch, node: name, addressOf, constant: () => 0n }]);
    this.device.launch(list, `weight "${name}"`);
  }

  async #drain(bytes: number): Promise<void> {
    this.#pendingBytes += bytes;
    if (this.#pendingBytes < MAX_PENDING_BYTES) return;
    this.#pendingBytes = 0;
    await this.device.idle();
  }
}
