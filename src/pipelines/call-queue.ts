/** @file The queue of a pipeline: what is asked of it is done one after the other, until it is disposed of. */

import { DeviceLostError } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';

/** Gives turns in the order in which they were asked for. */
export class CallQueue {
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #closed: Promise<void> | undefined;

  /** Whether somebody waits for a turn. */
  get isWanted(): boolean {
    return this.#waiting > 0;
  }

  /**
   * Waits for what was begun before; call the result when done.
   * @throws the signal's reason as soon as it is aborted; DeviceLostError once the queue is closed
   */
  async turn(signal?: AbortSignal): Promise<() => void> {
    if (this.#closed)
      throw new DeviceLostError('the pipeline was disposed of', {
        remedy: 'Load it again, and dispose of it after its last use',
      });
    const before = this.#tail;
    let release = (): void => undefined;
    this.#tail = new Promise<void>((resolve) => (release = resolve));
    this.#waiting++;
    try {
      await unlessAborted(before, signal);
      return release;
    } catch (error) {
      // Who comes next still waits for those before.
      void before.then(release);
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  /** Does something in a turn of its own; throws as `turn` does. */
  async run<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.turn(signal);
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** From now on nobody gets a turn; when all that was begun is done, this is the last that is done, once. */
  close(last: () => void): Promise<void> {
    this.#closed ??= this.#tail.then(last);
    return this.#closed;
  }
}
