/** @file A native half without a card: memory on the host, launches noted and not run, failures where a test wants them. */
import { LAUNCH_TYPES } from '../../native-cuda/src/kernels/index.ts';
import type { LaunchType } from '../../native-cuda/src/launch.ts';
import type { DeviceInfo, NativeCuda } from '../../native-cuda/src/native.ts';

export const FAKE_CARD: DeviceInfo = {
  name: 'Fake H100',
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

/** See the file's head. */
export class FakeNative implements NativeCuda {
  /** Thrown by the next call of a function, by its name. */
  readonly failures = new Map<string, Error>();
  readonly graphs = new Map<number, SeenLaunch[]>();
  /** Launched at once, not recorded. */
  readonly launched: SeenLaunch[] = [];
  replays = 0;
  openQueues = 0;
  /** Cards that queues were opened on, in order. */
  readonly openedCards: number[] = [];
  driver = 13000;
  cards: readonly DeviceInfo[] = [FAKE_CARD];
  types: readonly LaunchType[] = LAUNCH_TYPES;
  readonly #memory = new Map<bigint, Uint8Array>();
  #next = 0x7f00_0000_0000n;
  #graph = 1;

  /** Bytes that were allocated and not given back. */
  get usedBytes(): number {
    return [...this.#memory.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Whether an address lies in allocated memory. */
  holds(address: bigint): boolean {
    return [...this.#memory].some(
      ([first, { length }]) => address >= first && address < first + BigInt(length),
    );
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
    this.openQueues++;
    this.openedCards.push(card);
    return 7 + card;
  }

  closeQueue(): void {
    this.openQueues--;
  }

  allocate(_queue: number, bytes: number): bigint {
    this.#fail('allocate');
    if (this.usedBytes + bytes > FAKE_CARD.totalBytes)
      throw cudaError('cudaErrorMemoryAllocation', 'cudaMallocAsync');
    const address = this.#next;
    this.#next += BigInt(Math.ceil(bytes / 256) * 256);
    this.#memory.set(address, new Uint8Array(bytes));
    return address;
  }

  release(_queue: number, address: bigint): void {
    if (!this.#memory.delete(address)) throw cudaError('cudaErrorInvalidValue', 'cudaFreeAsync');
  }

  fill(_queue: number, address: bigint, byte: number, bytes: number): void {
    this.#bytesAt(address, bytes).fill(byte);
  }

  copyIn(_queue: number, address: bigint, bytes: Uint8Array): void {
    this.#bytesAt(address, bytes.length).set(bytes);
  }

  async copyOut(_queue: number, address: bigint, bytes: number): Promise<ArrayBuffer> {
    this.#fail('copyOut');
    return this.#bytesAt(address, bytes).slice().buffer;
  }

  async idle(): Promise<void> {
    this.#fail('idle');
  }

  launch(_queue: number, kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): void {
    this.launched.push(...this.#seen(kernels, offsets, args));
  }

  record(_queue: number, kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): number {
    this.#fail('record');
    this.graphs.set(this.#graph, this.#seen(kernels, offsets, args));
    return this.#graph++;
  }

  replay(_queue: number, graph: number): void {
    this.#fail('replay');
    if (!this.graphs.has(graph)) throw cudaError('cudaErrorInvalidValue', 'cudaGraphLaunch');
    this.replays++;
  }

  forget(_queue: number, graph: number): void {
    this.graphs.delete(graph);
  }

  async time(_queue: number, kernels: Int32Array): Promise<ArrayBuffer> {
    return Float64Array.from(kernels, (_, i) => i + 1).buffer;
  }

  memory(): { freeBytes: number; totalBytes: number } {
    return { freeBytes: FAKE_CARD.totalBytes - this.usedBytes, totalBytes: FAKE_CARD.totalBytes };
  }

  #fail(name: string): void {
    const failure = this.failures.get(name);
    this.failures.delete(name);
    if (failure) throw failure;
  }

  #bytesAt(address: bigint, bytes: number): Uint8Array {
    for (const [first, memory] of this.#memory) {
      const offset = Number(address - first);
      if (offset >= 0 && offset + bytes <= memory.length) return memory.subarray(offset, offset + bytes);
    }
    throw cudaError('cudaErrorIllegalAddress', 'a copy');
  }

  #seen(kernels: Int32Array, offsets: Uint32Array, args: Uint8Array): SeenLaunch[] {
    return Array.from(kernels, (kernel, i) => {
      const type = this.types[kernel];
      return {
        kernel: type.name,
        args: readArguments(type, new DataView(args.buffer, args.byteOffset + offsets[i], type.bytes)),
      };
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
