/** @file Counts the bytes that a backend holds, and the most that they were. */

import type { MemoryMeter } from './backend.ts';

/** Whose memory some bytes are: the device's, or the host's where the device can reach them. */
export type MemoryKind = 'device' | 'host';

/** A meter that those who take and give memory tell of it. */
export class ByteMeter implements MemoryMeter {
  readonly #now = { device: 0, host: 0 };
  readonly #peak = { device: 0, host: 0 };

  get deviceBytes(): number {
    return this.#now.device;
  }

  get peakDeviceBytes(): number {
    return this.#peak.device;
  }

  get hostBytes(): number {
    return this.#now.host;
  }

  get peakHostBytes(): number {
    return this.#peak.host;
  }

  restart(): void {
    Object.assign(this.#peak, this.#now);
  }

  /** Tells of bytes that were taken. */
  add(kind: MemoryKind, bytes: number): void {
    this.#now[kind] += bytes;
    this.#peak[kind] = Math.max(this.#peak[kind], this.#now[kind]);
  }

  /** Tells of bytes that were given back. */
  remove(kind: MemoryKind, bytes: number): void {
    this.#now[kind] -= bytes;
  }
}
