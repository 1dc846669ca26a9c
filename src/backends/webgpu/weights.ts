/**
 * @file Weights on the device: read tensor by tensor, converted and packed on the way, shared by programs.
 *
 * The host never holds more than `MAX_HELD_BYTES` of stored tensors, and as much of packed ones: the next few are read while
 * one is packed, by the host or the device. A weight that two kernels want in two layouts is on the device twice.
 */

import { KernelError } from '../../errors.ts';
import type { Weight } from '../../graph/graph.ts';
import {
  isStoredOrder,
  packedBytes,
  packedLength,
  packInt8Rows,
  packRows,
  type Elements,
  type Packing,
} from '../../kernels/packing.ts';
import { elementCount } from '../../kernels/kernel.ts';
import type { MergePlan } from '../../kernels/merge-low-rank.ts';
import { decodeToF16, decodeToF32 } from '../../tensor/decode.ts';
import { later } from '../../later.ts';
import { DEVICE_DTYPE_BYTES, type FloatDType, type StoredDType } from '../../tensor/dtype.ts';
import type { RefreshOptions, WeightReader, WeightStore } from '../backend.ts';
import { checkWeight, isPartOf, SharedLoads, weightName } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { ByteGate } from './byte-gate.ts';
import { BUFFER_USAGE } from './flags.ts';
import { LARGE_BYTES, UploadQueue } from './uploads.ts';
import type { WeightMerger } from './weight-merge.ts';
import { WeightPacker } from './weight-packer.ts';
import type { StreamStash } from './stream-stash.ts';
import type { WeightStream } from './weight-stream.ts';

/** A weight in the layout that a kernel wants. */
export interface WeightRequest {
  readonly weight: Weight;
  /** Shape of the value; parts are stacked along its first axis. */
  readonly shape: readonly number[];
  readonly dtype: FloatDType;
  readonly packing: Packing;
}

/** What identifies a request: equal keys share a buffer. */
export function requestKey({ weight, shape, dtype, packing }: WeightRequest): string {
  return JSON.stringify([weight.parts.map((part) => part.name), shape, dtype, packing]);
}

/** How elements are packed: as kernels read them, or, of weights that are stored so, as codes of float8_e4m3fn. */
type ElementType = FloatDType | 'f8';

/** Bytes of a request's buffer. */
export function bufferBytes({ packing, shape, dtype }: WeightRequest): number {
  return Math.ceil(packedBytes(packing, shape, dtype) / 16) * 16;
}

/** Bytes of weights that may be read and packed at a time. */
export const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** Bytes of staging memory that may wait in the queue before uploading goes on. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;

/** Buffers of weights, by request. */
export class WebGpuWeights implements WeightStore {
  readonly device: OpenDevice;
  readonly reader: WeightReader;
  readonly #buffers = new SharedLoads<GPUBuffer>();
  readonly #requests = new Map<string, WeightRequest>();
  /** There once adapters were added on the device. */
  #merger: WeightMerger | undefined;
  readonly #uploads: UploadQueue;
  readonly #packer: WeightPacker;
  readonly #gate = new ByteGate(MAX_HELD_BYTES);
  /** Weights that are held elsewhere, for programs that stream them. */
  readonly streams = new Set<WeightStream>();
  /** What those that are gone left. */
  stash: StreamStash | undefined;
  /** What they come through; see weight-stream.ts. */
  slots: readonly GPUBuffer[] = [];
  #bytes = 0;
  #pendingBytes = 0;

  constructor(device: OpenDevice, reader: WeightReader) {
    this.device = device;
    this.reader = reader;
    this.#uploads = new UploadQueue(device);
    this.#packer = new WeightPacker(device, reader, this.#uploads);
  }

  get bytes(): number {
    return this.#bytes + (this.#merger?.bytes ?? 0);
  }

  /** Checks a request before anything is read; throws as `checkWeight` does. */
  checkRequest({ weight }: WeightRequest): void {
    checkWeight(weight, this.reader);
  }

  /** Does something that loads weights; then all of them are on their way to the device, before any run that follows. */
  loading<T>(work: () => Promise<T>): Promise<T> {
    return this.#uploads.during(work);
  }

  /** Begins to compile the kernels that will pack these weights. */
  warm(requests: Iterable<WeightRequest>): void {
    for (const request of requests) {
      const plan = this.#planToPack(request);
      if (plan) this.#packer.warm(plan, request);
    }
  }

  /** The buffer of a request, loaded if it is not there. Call it inside `loading`. */
  load(request: WeightRequest, signal?: AbortSignal): Promise<GPUBuffer> {
    const key = requestKey(request);
    this.#requests.set(key, request);
    return this.#buffers.get(key, () => this.#upload(request, signal));
  }

  /** A weight as kernels want it, or in the same order as codes of float8. */
  packed(request: WeightRequest, type: ElementType, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const bytes =
      type === 'f8' ? bufferBytes(request) / DEVICE_DTYPE_BYTES[request.dtype] : bufferBytes(request);
    return this.#gate.hold(bytes, () => this.#pack(request, type, Math.ceil(bytes / 4) * 4, signal));
  }

  async refresh(names: ReadonlySet<string>, options: RefreshOptions = {}): Promise<void> {
    const { refreshWeights, WeightMerger } = await later('LoRA files', () => import('./weight-refresh.ts'));
    this.#merger ??= new WeightMerger({ device: this.device, uploads: this.#uploads, gate: this.#gate });
    const stale = [...this.#requests].flatMap(([key, request]) => {
      const buffer = isPartOf(request.weight, names) && this.#buffers.peek(key);
      return buffer ? [{ key, request, buffer }] : [];
    });
    await refreshWeights(
      {
        store: this,
        merger: this.#merger,
        stale,
        requests: this.#requests,
        rewrite: (request, buffer, signal) => this.#rewrite(request, buffer, signal),
      },
      names,
      options,
    );
  }

  forget(tensor: string): void {
    this.#uploads.submit();
    for (const [key, { weight }] of this.#requests)
      if (isPartOf(weight, new Set([tensor]))) this.#merger?.release(key);
    this.#buffers.forget(tensor, (buffer) => {
      this.#bytes -= buffer.size;
      buffer.destroy();
    });
  }

  dispose(): void {
    this.vacate();
    this.stash?.clear();
  }

  vacate(): void {
    this.#uploads.submit();
    this.#buffers.clear((buffer) => buffer.destroy());
    this.#merger?.release();
    for (const slot of this.slots) slot.destroy();
    this.slots = [];
    this.#bytes = 0;
  }

  async #upload(request: WeightRequest, signal?: AbortSignal): Promise<GPUBuffer> {
    const name = weightName(request.weight);
    const bytes = bufferBytes(request);
    const { maxBufferBytes } = this.device.limits;
    if (bytes > maxBufferBytes)
      throw new KernelError(`takes ${bytes} bytes in one buffer, the device allows ${maxBufferBytes}`, {
        field: name,
        remedy: 'Use a 16-bit dtype, or a device with larger buffers',
      });
    const buffer = await this.device.scoped(`weight "${name}"`, () =>
      this.device.gpu.createBuffer({
        label: name,
        size: bytes,
        usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST | BUFFER_USAGE.COPY_SRC,
      }),
    );
    try {
      await this.#rewrite(request, buffer, signal);
      this.#bytes += bytes;
      return buffer;
    } catch (error) {
      this.#uploads.submit();
      buffer.destroy();
      throw error;
    }
  }

  async #rewrite(request: WeightRequest, buffer: GPUBuffer, signal?: AbortSignal): Promise<void> {
    await this.#gate.hold(buffer.size, async () => {
      const plan = this.#planToPack(request);
      if (plan) await this.#packer.pack(plan, request, buffer, signal);
      else if (this.#isStoredAsPacked(request)) await this.#copy(request, buffer, signal);
      else await this.write(buffer, 0, await this.#pack(request, request.dtype, buffer.size, signal));
    });
  }

  /** How the device packs a weight, if it does. Devices that are the host gain nothing. */
  #planToPack(request: WeightRequest): MergePlan | undefined {
    return this.device.isSoftware || this.#isStoredAsPacked(request)
      ? undefined
      : this.#packer.planFor(request);
  }

  /** Copies bytes, a multiple of 4, to the device, where they are before any run that follows. */
  async write(buffer: GPUBuffer, offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength >= LARGE_BYTES) return this.#uploads.write(buffer, offset, bytes);
    const { gpu } = this.device;
    gpu.queue.writeBuffer(buffer, offset, bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.#drain(bytes.byteLength);
  }

  /** Whether a weight's bytes are in its files as they are to be on the device. */
  #isStoredAsPacked({ weight, shape, dtype, packing }: WeightRequest): boolean {
    const type = dtype === 'f16' ? 'F16' : 'F32';
    return (
      isStoredOrder(packing, shape) &&
      weight.parts.every(
        ({ name, shape: own }) =>
          this.reader.info(name).dtype === type && (elementCount(own) * DEVICE_DTYPE_BYTES[dtype]) % 4 === 0,
      )
    );
  }

  /** Writes a weight's parts one behind the other. */
  async #copy({ weight }: WeightRequest, buffer: GPUBuffer, signal?: AbortSignal): Promise<void> {
    let offset = 0;
    for (const { name } of weight.parts) {
      signal?.throwIfAborted();
      const bytes = await this.reader.read(name, signal);
      await this.write(buffer, offset, bytes);
      offset += bytes.byteLength;
    }
  }

  /** Reads a weight's parts one after the other and packs each; the result is padded to `byteLength`. */
  async #pack(
    { weight, shape, packing }: WeightRequest,
    type: ElementType,
    byteLength: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const target = new Uint8Array(byteLength);
    const put = rowPacker(packing, shape, type, target);
    const rowLength = elementCount(shape.slice(1));
    let row = 0;
    for (const { name } of weight.parts) {
      signal?.throwIfAborted();
      const bytes = await this.reader.read(name, signal);
      const stored = this.reader.info(name).dtype;
      row += put(bytes, stored, row) / rowLength;
    }
    return target;
  }

  /** Waits, now and then, until the queue has taken what was written, so that staging memory stays small. */
  async #drain(bytes: number): Promise<void> {
    this.#pendingBytes += bytes;
    if (this.#pendingBytes < MAX_PENDING_BYTES) return;
    this.#pendingBytes = 0;
    this.device.gpu.queue.submit([]);
    await this.device.gpu.queue.onSubmittedWorkDone();
    this.device.check();
  }
}

/** What puts stored elements where a packing wants them in `target`, from a row of the weight on; it returns their number. */
function rowPacker(
  packing: Packing,
  shape: readonly number[],
  type: ElementType,
  target: Uint8Array<ArrayBuffer>,
): (bytes: Uint8Array, stored: StoredDType, row: number) => number {
  if (packing.kind === 'int8')
    return (bytes, stored, row) => {
      const elements = decodeToF32(bytes, stored);
      packInt8Rows(packing, shape, elements, row, target);
      return elements.length;
    };
  const length = packedLength(packing, shape);
  const Packed = type === 'f8' ? Uint8Array : type === 'f16' ? Uint16Array : Float32Array;
  const packed: Elements = new Packed(target.buffer, 0, length);
  return (bytes, stored, row) => {
    const elements = elementsOf(bytes, stored, type);
    packRows(packing, shape, elements, row, packed);
    return elements.length;
  };
}

function elementsOf(bytes: Uint8Array, stored: StoredDType, type: ElementType): Elements {
  if (type === 'f8') return bytes;
  return type === 'f16' ? decodeToF16(bytes, stored) : decodeToF32(bytes, stored);
}
