/** @file Times whole runs on the device: a timestamp where each begins and one where it ends. */

import type { RunTime } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_READ } from './flags.ts';

/** Timestamps of the next few runs. */
export class RunTimer {
  readonly #device: OpenDevice;
  readonly #runs: number;
  readonly #querySet: GPUQuerySet;
  #begun = 0;

  /** For at most 2048 runs. */
  constructor(device: OpenDevice, runs: number) {
    this.#device = device;
    this.#runs = Math.min(runs, 2048);
    this.#querySet = device.gpu.createQuerySet({ type: 'timestamp', count: 2 * this.#runs });
  }

  /** Where the next run's only pass shall write its times; undefined when all have been used. */
  next(): GPUComputePassTimestampWrites | undefined {
    if (this.#begun === this.#runs) return undefined;
    const at = 2 * this.#begun++;
    return { querySet: this.#querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Times of the runs so far, in milliseconds since the first began. Frees the timer. */
  async read(): Promise<RunTime[]> {
    const { gpu } = this.#device;
    const bytes = 16 * this.#begun;
    if (bytes === 0) return [];
    const [resolved, staging] = [
      BUFFER_USAGE.QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC,
      BUFFER_USAGE.COPY_DST | BUFFER_USAGE.MAP_READ,
    ].map((usage) => gpu.createBuffer({ size: bytes, usage }));
    const encoder = gpu.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, 2 * this.#begun, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    gpu.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(MAP_READ);
      const stamps = new BigUint64Array(staging.getMappedRange());
      const at = (i: number): number => Number(stamps[i] - stamps[0]) / 1e6;
      return Array.from({ length: this.#begun }, (_, i) => ({ begin: at(2 * i), end: at(2 * i + 1) }));
    } catch (error) {
      this.#device.check();
      throw error;
    } finally {
      resolved.destroy();
      staging.destroy();
      this.#querySet.destroy();
    }
  }
}
