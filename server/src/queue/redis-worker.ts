/**
 * @file A worker's half of a queue on Redis: it takes jobs, hands them to a queue in memory that batches them for its
 * runners, and puts the pictures into the storage. It takes as many as its runners can draw at a time, and one more for
 * each that is at its last steps. While it draws it renews its lock on the job; when it dies the lock runs out, and another
 * worker begins the job anew.
 */
import { type Job, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { DrawResult, DrawStep } from '../draw-request.ts';
import { RunnerDiedError } from '../errors.ts';
import type { Runner } from '../runner/runner.ts';
import type { PictureStore } from '../storage/store.ts';
import { MemoryQueue } from './memory-queue.ts';
import { isEnding, type News, type Part, type QueueCounts } from './queue.ts';
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
import { RedisLink, retryStrategy } from './redis-link.ts';

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

/** How a job ended at a worker. */
export interface JobEnd {
  readonly id: string;
  /** Undefined for data that cannot be read. */
  readonly model: string | undefined;
  readonly attempt: number;
  /** Since it was taken. */
  readonly seconds: number;
  readonly result?: DrawResult;
  readonly error?: unknown;
}

/** Takes jobs from Redis until it is closed. */
export class RedisWorker {
  readonly #options: RedisWorkerOptions;
  readonly #worker: Worker<unknown, StoredResult>;
  readonly #memory: MemoryQueue;
  readonly #cancels: Redis;
  readonly #drawing = new Map<string, AbortController>();
  /** Jobs at their last steps, or behind them. */
  readonly #ending = new Set<string>();
  readonly #link = new RedisLink((news) => this.#onNews(news));
  /** Whether its runners were all there once. */
  #hasBegun = false;
  #closing = false;
  #onNews = (_news: News): void => undefined;
  #onEnd = (_end: JobEnd): void => undefined;

  constructor(options: RedisWorkerOptions) {
    this.#options = options;
    const { url, runners, maxBatch, attempts, lockSeconds = 30 } = options;
    const most = 2 * runners.length * maxBatch;
    this.#memory = new MemoryQueue({ runners, maxBatch, capacity: most, attempts: 1 });
    this.#worker = new Worker<unknown, StoredResult>(QUEUE.name, async (job) => this.#draw(job), {
      connection: { url, maxRetriesPerRequest: null, retryStrategy },
      prefix: QUEUE.prefix,
      autorun: false,
      concurrency: runners.length * maxBatch,
      lockDuration: lockSeconds * 1000,
      stalledInterval: lockSeconds * 1000,
      maxStalledCount: attempts - 1,
    });
    this.#cancels = new Redis(url, { maxRetriesPerRequest: null, retryStrategy });
    this.#link.follow(this.#cancels);
    // Only now: a job that is begun anew needs its pictures again. What is left over is swept.
    this.#worker.on('completed', ({ data }) => {
      forgetRequest(data, options.store).catch(() => undefined);
    });
    this.#worker.on('error', this.#link.fail);
    // Another has them, or will: what is drawn here would not be taken.
    this.#worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) this.#giveUp(id, 'The lock on the job was lost');
    });
    this.#cancels.on('message', (_channel, id) => this.#giveUp(id, 'The job was given up'));
    void this.#cancels.subscribe(CANCEL_CHANNEL).catch(() => undefined);
    for (const runner of runners) runner.watch?.(() => this.#adjust());
  }

  /** Begins to take jobs when all runners can. */
  async start(): Promise<void> {
    await Promise.all(this.#options.runners.map(({ ready }) => ready));
    await this.#worker.waitUntilReady();
    if (this.#closing || this.#hasBegun) return;
    this.#hasBegun = true;
    this.#worker.run().catch(this.#link.fail);
  }

  /** Jobs that it has: those its runners have not begun, and the others. */
  async counts(): Promise<QueueCounts> {
    return this.#memory.counts();
  }

  /** Redis and the runners. */
  parts(): readonly Part[] {
    return [this.#link.part, ...this.#memory.parts()];
  }

  /** Tells of jobs that ended here from now on. */
  onEnd(listener: (end: JobEnd) => void): void {
    this.#onEnd = listener;
  }

  /** Tells what happens to its parts from now on. */
  onNews(listener: (news: News) => void): void {
    this.#onNews = listener;
    this.#memory.onNews(listener);
  }

  /** Whether it takes jobs. */
  async ready(): Promise<boolean> {
    return !this.#closing && this.#hasBegun && this.#link.part.isUp && this.#memory.ready();
  }

  /** Takes no more jobs, finishes those it has, and ends its runners. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker.close();
    await this.#memory.close();
    this.#cancels.disconnect();
  }

  #giveUp(id: string, why: string): void {
    this.#drawing.get(id)?.abort(new DOMException(why, 'AbortError'));
  }

  /** Takes so many jobs at a time as runners that are there can draw, and those that may be begun early. */
  #adjust(): void {
    if (this.#closing || !this.#hasBegun) return;
    const { runners, maxBatch } = this.#options;
    const slots = runners.filter(({ isUp = true }) => isUp).length * maxBatch;
    if (slots === 0) {
      void this.#worker.pause(true);
      return;
    }
    const before = this.#worker.concurrency;
    this.#worker.concurrency = slots + Math.min(this.#ending.size, slots);
    if (this.#worker.concurrency <= before && !this.#worker.isPaused()) return;
    // BullMQ takes this into account when a job ends, and when it is resumed. Nothing may come between the two.
    void this.#worker.pause(true);
    void this.#worker.resume();
  }

  async #draw(job: Job<unknown, StoredResult>): Promise<StoredResult> {
    const id = job.id ?? '';
    const { store } = this.#options;
    const controller = new AbortController();
    this.#drawing.set(id, controller);
    const begin = performance.now();
    let model: string | undefined;
    const tell = (end: Pick<JobEnd, 'result' | 'error'>): void => {
      const seconds = (performance.now() - begin) / 1000;
      this.#onEnd({ id, model, attempt: job.attemptsStarted, seconds, ...end });
    };
    try {
      // Workers that died and those that said what went wrong are counted apart by BullMQ.
      if (job.attemptsStarted > this.#options.attempts)
        throw new RunnerDiedError(`the job was begun ${this.#options.attempts} times`, {
          remedy: 'Try again; if it happens again, look at the logs of the workers',
        });
      const request = await loadRequest(job.data, store);
      ({ model } = request);
      const report = reporter(job);
      const onStep = (step: DrawStep): void => {
        report(step);
        if (!isEnding(step) || this.#ending.has(id)) return;
        this.#ending.add(id);
        this.#adjust();
      };
      const result = await this.#memory.submit(id, request, { signal: controller.signal, onStep });
      const stored = await storeResult(id, result, store);
      tell({ result });
      return stored;
    } catch (error) {
      tell({ error });
      // Only the text outlives the worker.
      const text = failureText(error);
      const isLast = job.attemptsStarted >= this.#options.attempts;
      throw isWorthRetrying(error) && !isLast
        ? new Error(text, { cause: error })
        : new UnrecoverableError(text);
    } finally {
      this.#drawing.delete(id);
      this.#ending.delete(id);
      this.#adjust();
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
