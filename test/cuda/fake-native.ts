/**
 * @file A native half without a card: memory on the host, launches noted and not run, failures where a test wants them. What
 * one queue holds, no other may touch: that would be another card's memory.
 */
import { LAUNCH_TYPES } from '../../native-cuda/src/kernels/index.ts';
import type { LaunchType } from '../../native-cuda/src/launch.ts';
import type { DeviceInfo, NativeCuda } from '../../native-cuda/src/native.ts';

export const FAKE_CARD: DeviceInfo = {
  name: 'Fake H100',
  uuid: 'GPU-8932f937-d72c-4106-c12f-20bd9faed9f6',
  major: 9,
  minor: 0,
  totalBytes: 2 ** 24,
  multiprocessors: 132,
};

/** A launch as a kernel would see it. */
export interface SeenLaunch {
  readonly kernel: string;
  /** Pointers are bigint. */
  readonly args: Readonly<Record<string, number | bigint>>;
}

/** An error as the addon throws it. */
export function cudaError(cuda: string, operation: string, launch = -1): Error {
  return Object.assign(new Error(`${operation}: ${cuda}`), { cuda, operation, launch });
}

/** The number of the first queue that is opened; the next one's follow. */
export const FIRST_QUEUE = 7;

interface FakeQueue {
  readonly memory: Map<bigint, Uint8Array>;
  readonly graphs: Set<number>;
  recorded: number;
}

/** See the file's head. */
export class FakeNative implements NativeCuda {
  /** Thrown by the next call of a function, by its name. */
  readonly failures = new Map<string, Error>();
  readonly graphs = new Map<number, SeenLaunch[]>();
  /** Launched at once, not recorded. */
  readonly launched: SeenLaunch[] = [];
  replays = 0;
  /** The most bytes that were held at once. */
  mostBytes = 0;
  /** What was held when the queue was last waited for: what is released later stays in the driver's pool. */
  bytesAtIdle = 0;
  /** Cards that queues were opened on, in order. */
  readonly openedCards: number[] = [];
  driver = 13000;
  cards: readonly DeviceInfo[] = [FAKE_CARD];
  types: readonly LaunchType[] = LAUNCH_TYPES;
  readonly #queues = new Map<number, FakeQueue>();
  #next = 0x7f00_0000_0000n;
  #graph = 1;
  /** Bytes of closed queues: CUDA does not give back what its stream's owner did not. */
  #leaked = 0;

  get openQueues(): number {
    return this.#queues.size;
  }

  /** Bytes that were allocated and not given back. */
  get usedBytes(): number {
    return this.openedCards.reduce((sum, _card, i) => sum + this.usedBytesOf(FIRST_QUEUE + i), this.#leaked);
  }

  /** The same of one queue; they are numbered from FIRST_QUEUE on. */
  usedBytesOf(queue: number): number {
    return [...(this.#queues.get(queue)?.memory.values() ?? [])].reduce((sum, { length }) => sum + length, 0);
  }

  /** Kernels in the graphs that a queue recorded. */
  recordedOn(queue: number): number {
    return this.#queues.get(queue)?.recorded ?? 0;
  }

  driverVersion(): number {
    return this.driver;
  }

  runtimeVersion(): number {
    return 13000;
  }

  deviceCount(): number {
    this.#fail('deviceCount');
    return this.cards.length;
  }

  deviceInfo(device: number): DeviceInfo {
    return this.cards[device];
  }

  kernels(): { name: string; argsBytes: number }[] {
    return this.types.map(({ name, bytes }) => ({ name, argsBytes: bytes }));
  }

  openQueue(card: number): number {
    this.#fail('openQueue');
    this.openedCards.push(card);
    const queue = FIRST_QUEUE + this.openedCards.length - 1;
    this.#queues.set(queue, { memory: new Map(), graphs: new Set(), recorded: 0 });
    return queue;
  }

  closeQueue(queue: number): void {
    this.#leaked += this.usedBytesOf(queue);
    this.#queues.delete(queue);
  }

  allocate(queue: number, bytes: number): bigint {
    this.#fail('allocate');
    if (this.usedBytesOf(queue) + bytes > FAKE_CARD.totalBytes)
      throw cudaError('cudaErrorMemoryAllocation', 'cudaMallocAsync');
    const address = this.#next;
    this.#next += BigInt(Math.ceil(bytes / 256) * 256);
    this.#queue(queue).memory.set(address, new Uint8Array(bytes));
    this.mostBytes = Math.max(this.mostBytes, this.usedBytes);
    return address;
  }

  release(queue: number, address: bigint): void {
    if (!this.#queue(queue).memory.delete(address)) throw cudaError('cudaErrorInvalidValue', 'cudaFreeAsync');
  }

  fill(queue: number, address: bigint, byte: number, bytes: number): void {
    this.#bytesAt(queue, address, bytes).fill(byte);
  }

  copyIn(queue: number, address: bigint, bytes: Uint8Array): void {
    this.#bytesAt(queue, address, bytes.length).set(bytes);
  }

  async copyOut(queue: number, address: bigint, bytes: number): Promise<ArrayBuffer> {
    this.#fail('copyOut');
    return this.#bytesAt(queue, address, bytes).slice().buffer;
  }

  async idle(): Promise<void> {
    this.bytesAtIdle = this.usedBytes;
    this.#fail('idle');
  }

  launch(queue: number, kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): void {
    this.launched.push(...this.#seen(queue, kernels, offsets, args));
  }

  record(queue: number, kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): number {
    this.#fail('record');
    const graph = this.#graph++;
    this.graphs.set(graph, this.#seen(queue, kernels, offsets, args));
    const own = this.#queue(queue);
    own.graphs.add(graph);
    own.recorded += kernels.length;
    return graph;
  }

  replay(queue: number, graph: number): void {
    this.#fail('replay');
    if (!this.#queue(queue).graphs.has(graph)) throw cudaError('cudaErrorInvalidValue', 'cudaGraphLaunch');
    this.replays++;
  }

  forget(queue: number, graph: number): void {
    this.#queue(queue).graphs.delete(graph);
    this.graphs.delete(graph);
  }

  async time(_queue: number, kernels: Int32Array): Promise<ArrayBuffer> {
    return Float64Array.from(kernels, (_, i) => i + 1).buffer;
  }

  memory(queue: number): { freeBytes: number; totalBytes: number } {
    return { freeBytes: FAKE_CARD.totalBytes - this.usedBytesOf(queue), totalBytes: FAKE_CARD.totalBytes };
  }

  #fail(name: string): void {
    const failure = this.failures.get(name);
    this.failures.delete(name);
    if (failure) throw failure;
  }

  #queue(queue: number): FakeQueue {
    const open = this.#queues.get(queue);
    if (open) return open;
    throw cudaError('cudaErrorInvalidResourceHandle', 'a closed queue');
  }

  #bytesAt(queue: number, address: bigint, bytes: number): Uint8Array {
    for (const [first, memory] of this.#queue(queue).memory) {
      const offset = Number(address - first);
      if (offset >= 0 && offset + bytes <= memory.length) return memory.subarray(offset, offset + bytes);
    }
    throw cudaError('cudaErrorIllegalAddress', 'a copy');
  }

  /** Launches, whose pointers must lie in the queue's memory. */
  #seen(queue: number, kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): SeenLaunch[] {
    return Array.from(kernels, (kernel, i) => {
      const type = this.types[kernel];
      const view = new DataView(args.buffer, args.byteOffset + offsets[i], type.bytes);
      const seen = { kernel: type.name, args: readArguments(type, view) };
      for (const value of Object.values(seen.args))
        if (typeof value === 'bigint' && value !== 0n) this.#bytesAt(queue, value, 0);
      return seen;
    });
  }
}

/** The fields of an argument struct, by C's rules of alignment. */
function readArguments({ fields }: LaunchType, view: DataView): Record<string, number | bigint> {
  let at = 0;
  const next = (size: number): number => {
    const offset = Math.ceil(at / size) * size;
    at = offset + size;
    return offset;
  };
  const read = {
    pointer: () => view.getBigUint64(next(8), true),
    i64: () => Number(view.getBigInt64(next(8), true)),
    i32: () => view.getInt32(next(4), true),
    f32: () => view.getFloat32(next(4), true),
  };
  return Object.fromEntries(Object.entries(fields).map(([name, type]) => [name, read[type]()]));
}
