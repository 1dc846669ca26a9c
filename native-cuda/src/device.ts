/** @file An open card: its queue, its memory, and what has gone wrong with it. */

import { DeviceLostError, type CalotypeError } from 'calotype';
import { ByteMeter } from 'calotype/backend-kit';
import { asCalotypeError, isFatal, type MemoryState } from './failure.ts';
import { encodeLaunches, type BoundLaunch } from './launch.ts';
import type { DeviceInfo, LaunchList, NativeCuda } from './native.ts';

/** A range of the card's memory. */
export interface Range {
  readonly address: bigint;
  readonly bytes: number;
}

/** A card with a queue of its own; everything that touches it goes through here. */
export class OpenDevice {
  readonly info: DeviceInfo;
  /** Counts the ranges that are held. */
  readonly meter = new ByteMeter();
  readonly #native: NativeCuda;
  readonly #queue: number;
  readonly #kernels: ReadonlyMap<string, number>;
  /** Addresses that are held: CUDA keeps memory that was not given back when its stream goes. */
  readonly #held = new Set<bigint>();
  #failure: CalotypeError | undefined;
  #closed = false;

  /** @param queue an open queue of card `info`, which this object closes */
  constructor(native: NativeCuda, queue: number, info: DeviceInfo) {
    this.info = info;
    this.#native = native;
    this.#queue = queue;
    this.#kernels = new Map(native.kernels().map(({ name }, i) => [name, i]));
  }

  /** Throws DeviceLostError if the card failed or was closed. */
  check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed)
      throw new DeviceLostError('the backend was disposed of', {
        remedy: 'Use a backend, and what was made with it, before disposing of it',
      });
  }

  /** At least `bytes` of memory with any content; throws OutOfMemoryError naming `what`. */
  allocate(bytes: number, what: string): Range {
    const size = Math.max(bytes, 1);
    const address = this.#call(what, (native, queue) => native.allocate(queue, size));
    this.meter.add('device', size);
    this.#held.add(address);
    return { address, bytes: size };
  }

  /** Gives a range back once what is queued has been done. */
  release({ address, bytes }: Range): void {
    this.meter.remove('device', bytes);
    this.#freeRange(address);
  }

  fill({ address, bytes }: Range, byte: number): void {
    this.#call('memory to be filled', (native, queue) => native.fill(queue, address, byte, bytes));
  }

  /** Copies to the card; `data` may change afterwards. */
  write(address: bigint, data: ArrayBufferView, what: string): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#call(what, (native, queue) => native.copyIn(queue, address, bytes));
  }

  async read(address: bigint, bytes: number, what: string): Promise<ArrayBuffer> {
    return this.#wait(what, (native, queue) => native.copyOut(queue, address, bytes));
  }

  async idle(): Promise<void> {
    await this.#wait('what was queued', (native, queue) => native.idle(queue));
  }

  /** The bytes of a launch list. */
  encode(bound: readonly BoundLaunch[]): LaunchList {
    return encodeLaunches(bound, this.#kernels);
  }

  launch(list: LaunchList, what: string): void {
    this.#call(what, (native, queue) => native.launch(queue, list.kernels, list.offsets, list.args));
  }

  /** A graph of all launches, to be replayed. */
  record(list: LaunchList, what: string): number {
    return this.#call(what, (native, queue) => native.record(queue, list.kernels, list.offsets, list.args));
  }

  replay(graph: number, what: string): void {
    this.#call(what, (native, queue) => native.replay(queue, graph));
  }

  forget(graph: number): void {
    this.#giveBack('a graph', (native, queue) => native.forget(queue, graph));
  }

  /** Milliseconds of each launch. */
  async time(list: LaunchList, what: string): Promise<Float64Array> {
    const times = await this.#wait(what, (native, queue) =>
      native.time(queue, list.kernels, list.offsets, list.args),
    );
    return new Float64Array(times);
  }

  /** The card's memory, that of other programs included. */
  memory(): MemoryState {
    return this.#call('memory', (native, queue) => native.memory(queue));
  }

  /** Gives back all that is held; owners that release it afterwards find it done. */
  close(): void {
    if (this.#closed) return;
    for (const address of this.#held) this.#freeRange(address);
    this.#closed = true;
    this.#native.closeQueue(this.#queue);
  }

  #freeRange(address: bigint): void {
    this.#held.delete(address);
    this.#giveBack('memory', (native, queue) => native.release(queue, address));
  }

  #call<T>(what: string, call: (native: NativeCuda, queue: number) => T): T {
    this.check();
    try {
      return call(this.#native, this.#queue);
    } catch (error) {
      throw this.#translated(error, what);
    }
  }

  /** On a card that failed nothing can be given back, and the failure is told by the next call that wants something. */
  #giveBack(what: string, call: (native: NativeCuda, queue: number) => void): void {
    if (this.#failure || this.#closed) return;
    try {
      this.#call(what, call);
    } catch (error) {
      if (error !== this.#failure) throw error;
    }
  }

  async #wait<T>(what: string, call: (native: NativeCuda, queue: number) => Promise<T>): Promise<T> {
    const waiting = this.#call(what, call);
    try {
      return await waiting;
    } catch (error) {
      throw this.#translated(error, what);
    }
  }

  #translated(error: unknown, what: string): unknown {
    const translated = asCalotypeError(error, what, () => {
      try {
        return this.#native.memory(this.#queue);
      } catch {
        // A card that cannot be asked any more: the error that is being reported says so.
        return undefined;
      }
    });
    if (translated && isFatal(error)) this.#failure ??= translated;
    return translated ?? error;
  }
}
