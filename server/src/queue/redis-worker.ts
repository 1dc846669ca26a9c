/**
 * @file A worker's half of a queue on Redis: it takes jobs, hands them to a queue in memory that batches them for its
 * runners, and puts the pictures into the storage. While it draws it renews its lock on the job; when it dies the lock runs
 * out, and another worker begins the job anew.
 */
import { type Job, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { DrawStep } from '../draw-request.ts';
import { RunnerDiedError } from '../errors.ts';
import type { Runner } from '../runner/runner.ts';
import type { PictureStore } from '../storage/store.ts';
import { MemoryQueue } from './memory-queue.ts';
import {
  CANCEL_CHANNEL,
  failureText,
  forgetRequest,
  isWorthRetrying,
  loadRequest,
  QUEUE,
  type StoredResult,
  storeResult,
} from './redis-job.ts';

/** Options of a `RedisWorker`. */
export interface RedisWorkerOptions {
  readonly url: string;
  readonly store: PictureStore;
  readonly runners: readonly Runner[];
  /** Pictures that may be drawn in one call. */
  readonly maxBatch: number;
  /** Times that a job is begun at most. */
  readonly attempts: number;
  /** Seconds after which a job counts as left by a worker that is not heard of. Default 30. */
  readonly lockSeconds?: number;
}

/** Takes jobs from Redis until it is closed. */
export class RedisWorker {
  readonly #options: RedisWorkerOptions;
  readonly #worker: Worker<unknown, StoredResult>;
  readonly #memory: MemoryQueue;
  readonly #cancels: Redis;
  readonly #drawing = new Map<string, AbortController>();

  constructor(options: RedisWorkerOptions) {
    this.#options = options;
    const { url, runners, maxBatch, attempts, lockSeconds = 30 } = options;
    const concurrency = runners.length * maxBatch;
    this.#memory = new MemoryQueue({ runners, maxBatch, capacity: concurrency, attempts: 1 });
    this.#worker = new Worker<unknown, StoredResult>(QUEUE.name, (job) => this.#draw(job), {
      connection: { url, maxRetriesPerRequest: null },
      prefix: QUEUE.prefix,
      concurrency,
      lockDuration: lockSeconds * 1000,
      stalledInterval: lockSeconds * 1000,
      maxStalledCount: attempts - 1,
    });
    this.#cancels = new Redis(url, { maxRetriesPerRequest: null });
    // Only now: a job that is begun anew needs its pictures again. What is left over is swept.
    this.#worker.on('completed', ({ data }) => {
      forgetRequest(data, options.store).catch(() => undefined);
    });
    // Connections come back by themselves.
    this.#worker.on('error', () => undefined);
    this.#cancels.on('error', () => undefined);
    this.#cancels.on('message', (_channel, id) =>
      this.#drawing.get(id)?.abort(new DOMException('The job was given up', 'AbortError')),
    );
    void this.#cancels.subscribe(CANCEL_CHANNEL).catch(() => undefined);
  }

  /** Resolves when it can take jobs. */
  async ready(): Promise<void> {
    await Promise.all(this.#options.runners.map(({ ready }) => ready));
    await this.#worker.waitUntilReady();
  }

  /** Takes no more jobs, finishes those it has, and ends its runners. */
  async close(): Promise<void> {
    await this.#worker.close();
    await this.#memory.close();
    this.#cancels.disconnect();
  }

  async #draw(job: Job<unknown, StoredResult>): Promise<StoredResult> {
    const id = job.id ?? '';
    const { store } = this.#options;
    const controller = new AbortController();
    this.#drawing.set(id, controller);
    try {
      // Workers that died and those that said what went wrong are counted apart by BullMQ.
      if (job.attemptsStarted > this.#options.attempts)
        throw new RunnerDiedError(`the job was begun ${this.#options.attempts} times`, {
          remedy: 'Try again; if it happens again, look at the logs of the workers',
        });
      const request = await loadRequest(job.data, store);
      const report = reporter(job);
      const result = await this.#memory.submit(id, request, { signal: controller.signal, onStep: report });
      return await storeResult(id, result, store);
    } catch (error) {
      // Only the text outlives the worker.
      const text = failureText(error);
      const isLast = job.attemptsStarted >= this.#options.attempts;
      throw isWorthRetrying(error) && !isLast
        ? new Error(text, { cause: error })
        : new UnrecoverableError(text);
    } finally {
      this.#drawing.delete(id);
    }
  }
}

/** Tells of steps; those that come while one is still being told are left out, unless they have previews. */
function reporter(job: Job<unknown, StoredResult>): (step: DrawStep) => void {
  let telling: Promise<void> = Promise.resolve();
  let busy = 0;
  return ({ previews, ...step }) => {
    if (busy > 0 && previews.length === 0) return;
    busy++;
    const progress = { ...step, previews: previews.map((png) => Buffer.from(png).toString('base64')) };
    telling = telling
      .then(() => job.updateProgress(progress))
      // A step that nobody hears of is no reason to stop.
      .catch(() => undefined)
      .finally(() => busy--);
  };
}
