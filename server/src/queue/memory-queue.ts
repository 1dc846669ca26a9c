/** @file The queue inside the server's process: bounded, in the order of arrival, compatible jobs drawn together. */
import { batchKey, type DrawRequest, type DrawResult } from '../draw-request.ts';
import { QueueFullError, RunnerDiedError, UnavailableError } from '../errors.ts';
import type { DrawOutcome, Runner } from '../runner/runner.ts';
import type { JobListener, JobQueue, QueueCounts } from './queue.ts';

/** Options of a `MemoryQueue`. */
export interface MemoryQueueOptions {
  readonly runners: readonly Runner[];
  /** Jobs that may wait. */
  readonly capacity: number;
  /** Pictures that may be drawn in one call; 1 turns batching off. */
  readonly maxBatch: number;
  /** Times that a job is begun when runners die of it. */
  readonly attempts: number;
}

/** A job that has not ended. */
interface Entry {
  readonly request: DrawRequest;
  readonly key: string | undefined;
  readonly listener: JobListener;
  readonly settle: (outcome: DrawOutcome) => void;
  attempts: number;
}

/** Seconds that a job is taken to last before any has. */
const FIRST_GUESS = 5;

/** Jobs in memory; they end with the process. */
export class MemoryQueue implements JobQueue {
  readonly #options: MemoryQueueOptions;
  readonly #waiting: Entry[] = [];
  readonly #idle: Runner[];
  #active = 0;
  #closing = false;
  /** Moving mean of what a job takes a runner, in seconds. */
  #jobSeconds = FIRST_GUESS;
  #onEmpty = (): void => undefined;

  constructor(options: MemoryQueueOptions) {
    this.#options = options;
    this.#idle = [...options.runners];
  }

  async submit(_id: string, request: DrawRequest, listener: JobListener): Promise<DrawResult> {
    listener.signal.throwIfAborted();
    if (this.#closing)
      throw new UnavailableError('the server is shutting down', { remedy: 'Try another, or again later' });
    const { capacity, runners } = this.#options;
    if (this.#waiting.length >= capacity && this.#idle.length === 0)
      throw new QueueFullError(`${capacity} jobs are waiting already`, {
        remedy: 'Try again after the time that Retry-After says',
        retryAfter: Math.ceil((this.#waiting.length * this.#jobSeconds) / runners.length / 2) || 1,
      });
    return new Promise<DrawResult>((resolve, reject) => {
      const entry: Entry = {
        request,
        key: batchKey(request),
        listener,
        settle: (outcome) => {
          listener.signal.removeEventListener('abort', leave);
          if ('drawn' in outcome) resolve(outcome.drawn);
          // oxlint-disable-next-line prefer-promise-reject-errors -- signals may have any reason.
          else reject(outcome.failed);
        },
        attempts: 0,
      };
      const leave = (): void => {
        const place = this.#waiting.indexOf(entry);
        // A job that is being drawn is told by its runner.
        if (place < 0) return;
        this.#waiting.splice(place, 1);
        entry.settle({ failed: listener.signal.reason });
        this.#check();
      };
      listener.signal.addEventListener('abort', leave);
      this.#waiting.push(entry);
      this.#dispatch();
    });
  }

  async counts(): Promise<QueueCounts> {
    return { waiting: this.#waiting.length, active: this.#active };
  }

  async ready(): Promise<boolean> {
    if (this.#closing) return false;
    const settled = Promise.any(this.#options.runners.map(({ ready }) => ready));
    return Promise.race([
      settled.then(
        () => true,
        () => false,
      ),
      // Still starting is not ready.
      new Promise<false>((resolve) => void setTimeout(resolve, 50, false)),
    ]);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#check();
    });
    await Promise.all(this.#options.runners.map((runner) => runner.close()));
  }

  #dispatch(): void {
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const runner = this.#idle.shift()!;
      void this.#run(runner, this.#takeBatch());
    }
  }

  /** The first that waits, and those behind it that can be drawn with it. */
  #takeBatch(): Entry[] {
    const first = this.#waiting.shift()!;
    const batch = [first];
    let pictures = first.request.seeds.length;
    if (first.key === undefined) return batch;
    for (const entry of this.#waiting.slice()) {
      const more = pictures + entry.request.seeds.length;
      if (entry.key !== first.key || more > this.#options.maxBatch) continue;
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      batch.push(entry);
      pictures = more;
    }
    return batch;
  }

  async #run(runner: Runner, batch: readonly Entry[]): Promise<void> {
    const begin = performance.now();
    this.#active += batch.length;
    try {
      for (const entry of batch) {
        entry.attempts++;
        entry.listener.onStart?.();
      }
      const outcomes = await runner.draw(
        batch.map(({ request, listener }) => ({
          request,
          signal: listener.signal,
          onStep: (step) => listener.onStep?.(step),
        })),
      );
      const seconds = (performance.now() - begin) / 1000 / batch.length;
      this.#jobSeconds += (seconds - this.#jobSeconds) / 8;
      batch.forEach((entry, i) => entry.settle(outcomes[i]));
    } catch (reason) {
      for (const entry of batch.toReversed()) this.#retry(entry, reason);
    } finally {
      this.#active -= batch.length;
      this.#idle.push(runner);
      this.#dispatch();
      this.#check();
    }
  }

  /** A job whose runner died goes back to the front; it has its seeds, so that the pictures will be the same. */
  #retry(entry: Entry, reason: unknown): void {
    const { signal } = entry.listener;
    if (signal.aborted) entry.settle({ failed: signal.reason });
    else if (reason instanceof RunnerDiedError && entry.attempts < this.#options.attempts)
      this.#waiting.unshift(entry);
    else entry.settle({ failed: reason });
  }

  #check(): void {
    if (this.#waiting.length === 0 && this.#active === 0) this.#onEmpty();
  }
}
