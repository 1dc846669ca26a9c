/**
 * @file Large writes to buffers through staging memory that is used again and again.
 *
 * `GPUQueue.writeBuffer` makes new staging memory for every large write, which takes 0.9 seconds a gigabyte of the thread
 * that everything else waits for (H100, Dawn), and 0.2 this way: a fifth of the time to SD1.5's first picture was spent on it, a
 * third of SDXL's.
 */

import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_WRITE } from './flags.ts';

/** Bytes of a staging buffer, and how many there are at most: some are filled while the device copies from others. */
export const STAGING_BYTES = 16 * 1024 * 1024;
export const STAGING_BUFFERS = 4;

/** Bytes from which a write is large; smaller ones share what Dawn stages by itself. */
export const LARGE_BYTES = 256 * 1024;

/** A staging buffer while the host may write to it. */
interface Staging {
  readonly buffer: GPUBuffer;
  readonly mapped: Uint8Array;
  used: number;
}

/** Writes and what follows them, submitted together in the order in which they came. */
export class UploadQueue {
  readonly #device: OpenDevice;
  readonly #stagingBytes: number;
  #users = 0;
  /** All staging buffers. */
  #buffers: GPUBuffer[] = [];
  /** Those that the device was given, in that order, until the host may write to them again. */
  #returning: Promise<Staging>[] = [];
  #open: Staging | undefined;
  #commands: ((encoder: GPUCommandEncoder) => void)[] = [];
  #submitted: (() => void)[] = [];
  #left: (() => void)[] = [];
  #turn: Promise<void> = Promise.resolve();

  /** @param largest bytes of the largest write, if that is known */
  constructor(device: OpenDevice, largest = STAGING_BYTES) {
    this.#device = device;
    this.#stagingBytes = Math.min(STAGING_BYTES, largest);
  }

  /** Does something that uploads, and then submits what is left. Staging memory is freed when nobody uploads any more. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await work();
    } finally {
      this.submit();
      this.#leave();
    }
  }

  /** Copies bytes, a multiple of 4, to where they wait for `submit`; the array may be used again. */
  async write(target: GPUBuffer, offset: number, bytes: Uint8Array): Promise<void> {
    this.#users++;
    const writing = this.#turn.then(() => this.#stage(target, offset, bytes));
    this.#turn = writing.catch(() => undefined);
    try {
      await writing;
    } finally {
      this.#leave();
    }
  }

  /**
   * Adds commands that need what was written before.
   * @param submitted called once they are submitted
   */
  add(encode: (encoder: GPUCommandEncoder) => void, submitted: () => void): void {
    this.#commands.push(encode);
    this.#submitted.push(submitted);
  }

  /** Calls a function once nobody uploads any more and all is submitted. */
  whenLeft(call: () => void): void {
    this.#left.push(call);
  }

  /** Submits what was written and added. */
  submit(): void {
    const staging = this.#open;
    const commands = this.#commands.splice(0);
    const submitted = this.#submitted.splice(0);
    this.#open = undefined;
    staging?.buffer.unmap();
    if (commands.length > 0) {
      const { gpu } = this.#device;
      const encoder = gpu.createCommandEncoder();
      for (const encode of commands) encode(encoder);
      gpu.queue.submit([encoder.finish()]);
    }
    for (const call of submitted) call();
    if (!staging) return;
    const returning = mapped(staging.buffer);
    // It fails where the buffer is destroyed, and nobody needs it then.
    returning.catch(() => undefined);
    this.#returning.push(returning);
  }

  async #stage(target: GPUBuffer, offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      const staging = (this.#open ??= await this.#take());
      const { buffer, used } = staging;
      const count = Math.min(bytes.byteLength - at, this.#stagingBytes - used);
      const to = offset + at;
      staging.mapped.set(bytes.subarray(at, at + count), used);
      this.#commands.push((encoder) => encoder.copyBufferToBuffer(buffer, used, target, to, count));
      staging.used += count;
      at += count;
      if (staging.used === this.#stagingBytes) this.submit();
    }
  }

  async #take(): Promise<Staging> {
    const next = this.#buffers.length < STAGING_BUFFERS ? undefined : this.#returning.shift();
    if (!next) return this.#create();
    try {
      return await next;
    } catch (error) {
      this.#device.check();
      throw error;
    }
  }

  async #create(): Promise<Staging> {
    const buffer = await this.#device.scoped('staging memory for weights', () =>
      this.#device.gpu.createBuffer({
        label: 'staging memory for weights',
        size: this.#stagingBytes,
        usage: BUFFER_USAGE.MAP_WRITE | BUFFER_USAGE.COPY_SRC,
        mappedAtCreation: true,
      }),
    );
    this.#buffers.push(buffer);
    return stagingOf(buffer);
  }

  #leave(): void {
    this.#users--;
    if (this.#users > 0) return;
    // What was written by those who were not waited for.
    this.submit();
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers = [];
    this.#returning = [];
    for (const call of this.#left.splice(0)) call();
  }
}

function stagingOf(buffer: GPUBuffer): Staging {
  return { buffer, mapped: new Uint8Array(buffer.getMappedRange()), used: 0 };
}

/** A buffer once the device has read it. */
async function mapped(buffer: GPUBuffer): Promise<Staging> {
  await buffer.mapAsync(MAP_WRITE);
  return stagingOf(buffer);
}
