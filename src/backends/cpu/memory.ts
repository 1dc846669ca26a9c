/**
 * @file The linear memory that kernels work in: grown on demand, handed out in ranges.
 *
 * WebAssembly addresses 4 GiB with 32 bits. The last page is left unused, so that the end of every range is an address
 * too. Memory is never given back to the system before the backend is disposed of; freed ranges are used again.
 */

import { OutOfMemoryError } from '../../errors.ts';
import { ByteMeter } from '../byte-meter.ts';
import { ALIGNMENT } from './kernel.ts';

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

/** The most that can be handed out, about 4 GiB. */
const LIMIT_BYTES = (MAX_PAGES - 1) * PAGE_BYTES;

/** A range of the memory. Addresses are byte offsets from its beginning, never 0. */
export interface Range {
  readonly address: number;
  readonly bytes: number;
}

/** A shared WebAssembly memory with an allocator: first fit among free ranges, kept in the order of addresses. */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly #free: { address: number; bytes: number }[] = [];
  /** Where memory begins that was never handed out. */
  #top: number;
  /** Bytes handed out. */
  readonly meter = new ByteMeter();
  /** The most that can be in use. */
  readonly #capacity: number;
  readonly #limit: number;

  /**
   * @param base first address that may be handed out; what is below belongs to the WebAssembly module's data.
   * @param limit the most bytes to use, for tests.
   * @throws OutOfMemoryError if there is no address space for a memory.
   */
  constructor(base: number, limit = LIMIT_BYTES) {
    this.#top = align(base);
    this.#limit = Math.min(limit, LIMIT_BYTES);
    this.#capacity = this.#limit - this.#top;
    try {
      const initial = Math.ceil(this.#top / PAGE_BYTES);
      this.memory = new WebAssembly.Memory({ initial, maximum: MAX_PAGES, shared: true });
    } catch (cause) {
      throw new OutOfMemoryError('there is no address space for a WebAssembly memory', {
        remedy: 'Close other programs or pages, or dispose of pipelines that are no longer used',
        cause,
      });
    }
  }

  /**
   * Checks that some bytes could be handed out, free ranges taken as one.
   * @throws OutOfMemoryError naming `what` and the limit.
   */
  check(bytes: number, what: string): void {
    if (this.meter.deviceBytes + bytes > this.#capacity) throw this.#tooMuch(bytes, what);
  }

  /**
   * A range of at least `bytes`, aligned to 64 bytes; its content is anything.
   * @throws OutOfMemoryError naming `what`.
   */
  allocate(bytes: number, what: string): Range {
    const size = align(Math.max(bytes, 1));
    const at = this.#free.findIndex((free) => free.bytes >= size);
    let address: number;
    if (at >= 0) {
      const free = this.#free[at];
      address = free.address;
      if (free.bytes === size) this.#free.splice(at, 1);
      else this.#free[at] = { address: address + size, bytes: free.bytes - size };
    } else {
      address = this.#extend(size, bytes, what);
    }
    this.meter.add('device', size);
    return { address, bytes: size };
  }

  /** Takes a range back. */
  release({ address, bytes }: Range): void {
    this.meter.remove('device', bytes);
    const free = this.#free;
    let at = free.findIndex((other) => other.address > address);
    if (at < 0) at = free.length;
    free.splice(at, 0, { address, bytes });
    for (let i = Math.min(at, free.length - 2); i >= Math.max(at - 1, 0); i--)
      if (free[i].address + free[i].bytes === free[i + 1].address) {
        free[i].bytes += free[i + 1].bytes;
        free.splice(i + 1, 1);
      }
  }

  bytes(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.memory.buffer, address, length);
  }

  floats(address: number, length: number): Float32Array<SharedArrayBuffer> {
    return new Float32Array(this.memory.buffer, address, length);
  }

  integers(address: number, length: number): Int32Array<SharedArrayBuffer> {
    return new Int32Array(this.memory.buffer, address, length);
  }

  /** New memory at the top; a free range that ends there becomes its beginning. */
  #extend(size: number, bytes: number, what: string): number {
    const last = this.#free.at(-1);
    const joins = last !== undefined && last.address + last.bytes === this.#top;
    const address = joins ? last.address : this.#top;
    const end = address + size;
    if (end > this.#limit) throw this.#tooMuch(bytes, what);
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0)
      try {
        this.memory.grow(missing);
      } catch (cause) {
        throw new OutOfMemoryError(
          `the system gives no ${mebibytes(missing * PAGE_BYTES)} more for ${what}`,
          {
            remedy: 'Use a smaller size or batch, or close other programs',
            cause,
          },
        );
      }
    if (joins) this.#free.pop();
    this.#top = end;
    return address;
  }

  #tooMuch(bytes: number, what: string): OutOfMemoryError {
    return new OutOfMemoryError(
      `${what} needs ${mebibytes(bytes)}, but of the ${mebibytes(this.#limit)} that WebAssembly can use ` +
        `${Math.floor((this.#capacity - this.meter.deviceBytes) / 2 ** 20)} MiB are free`,
      { remedy: 'Use a model with 16- or 8-bit weights, a smaller size or batch, or a GPU (webgpu)' },
    );
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
