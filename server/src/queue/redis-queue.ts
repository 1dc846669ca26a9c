/**
 * @file The server's half of a queue on Redis (or Valkey), with BullMQ: jobs go in, workers on any machine take them, and
 * events tell of their steps and ends. A job lives in Redis, and ends there whether or not its server is still alive.
 */
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import * as v from 'valibot';
import type { DrawRequest, DrawResult } from '../draw-request.ts';
import { QueueFullError, UnavailableError } from '../errors.ts';
import type { PictureStore } from '../storage/store.ts';
import type { JobListener, JobQueue, QueueCounts } from './queue.ts';
import { CANCEL_CHANNEL, failureOf, loadResult, progressSchema, QUEUE, storeRequest } from './redis-job.ts';

/** Options of a `RedisQueue`. */
export interface RedisQueueOptions {
  /** `redis://host:port`, or `rediss://` for TLS. */
  readonly url: string;
  readonly store: PictureStore;
  /** Jobs that may wait, of all servers together. */
  readonly capacity: number;
  /** Times that a job is begun when workers die of it. */
  readonly attempts: number;
  /** Seconds that ended jobs and their pictures are kept for whoever asks again. Default 3600. */
  readonly keepSeconds?: number;
}

/** A job that somebody here waits for. */
interface Waiting {
  readonly listener: JobListener;
  readonly resolve: (result: DrawResult | Promise<DrawResult>) => void;
  readonly reject: (reason: unknown) => void;
}

/** Seconds after which a refused client may come back. */
const RETRY_AFTER = 5;
/** Default of `keepSeconds`. */
const KEEP = 3600;
/** Milliseconds between sweeps of the storage. */
const SWEEP = 600_000;

/** Jobs in Redis. */
export class RedisQueue implements JobQueue {
  readonly #options: RedisQueueOptions;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #cancels: Redis;
  readonly #sweeper: NodeJS.Timeout;
  /** By job: there are several where callers ask again. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  #closing = false;
  #onEmpty = (): void => undefined;

  constructor(options: RedisQueueOptions) {
    this.#options = options;
    const shared = { connection: { url: options.url, maxRetriesPerRequest: null }, prefix: QUEUE.prefix };
    this.#queue = new Queue(QUEUE.name, shared);
    this.#events = new QueueEvents(QUEUE.name, shared);
    this.#cancels = new Redis(options.url, { maxRetriesPerRequest: null });
    const { store, keepSeconds = KEEP } = options;
    this.#sweeper = setInterval(() => void store.sweep?.(keepSeconds).catch(() => undefined), SWEEP);
    this.#sweeper.unref();
    // Connections come back by themselves; meanwhile requests wait, and readiness says no.
    this.#queue.on('error', () => undefined);
    this.#events.on('error', () => undefined);
    this.#cancels.on('error', () => undefined);
    this.#events.on('active', ({ jobId }) => this.#tell(jobId, ({ listener }) => listener.onStart?.()));
    this.#events.on('progress', ({ jobId, data }) => this.#hear(jobId, data));
    this.#events.on('completed', ({ jobId, returnvalue }) => this.#complete(jobId, returnvalue));
    this.#events.on('failed', ({ jobId, failedReason }) =>
      this.#tell(jobId, ({ reject }) => reject(failureOf(failedReason))),
    );
  }

  async submit(id: string, request: DrawRequest, listener: JobListener): Promise<DrawResult> {
    const { signal } = listener;
    signal.throwIfAborted();
    if (this.#closing)
      throw new UnavailableError('the server is shutting down', { remedy: 'Try another, or again later' });
    return new Promise<DrawResult>((resolve, reject) => {
      const end = (): void => {
        signal.removeEventListener('abort', leave);
        this.#forget(id, waiting);
      };
      const waiting: Waiting = {
        listener,
        resolve: (result) => {
          end();
          resolve(result);
        },
        reject: (reason) => {
          end();
          // oxlint-disable-next-line prefer-promise-reject-errors -- signals may have any reason.
          reject(reason);
        },
      };
      const leave = (): void => {
        waiting.reject(signal.reason);
        if (!this.#waiting.has(id)) void this.#cancel(id);
      };
      signal.addEventListener('abort', leave);
      // It may end before the call that adds it has.
      this.#waiting.set(id, (this.#waiting.get(id) ?? new Set()).add(waiting));
      this.#add(id, request, waiting).catch(waiting.reject);
    });
  }

  async counts(): Promise<QueueCounts> {
    const {
      waiting = 0,
      delayed = 0,
      active = 0,
    } = await this.#queue.getJobCounts('waiting', 'delayed', 'active');
    return { waiting: waiting + delayed, active };
  }

  async ready(): Promise<boolean> {
    if (this.#closing) return false;
    const asked = this.#queue.getWorkersCount().then(
      (count) => count > 0,
      () => false,
    );
    return Promise.race([asked, new Promise<false>((resolve) => void setTimeout(resolve, 1000, false))]);
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
    clearInterval(this.#sweeper);
    await this.#events.close();
    await this.#queue.close();
    this.#cancels.disconnect();
  }

  async #add(id: string, request: DrawRequest, asked: Waiting): Promise<void> {
    const { capacity, store, attempts, keepSeconds = KEEP } = this.#options;
    await this.#events.waitUntilReady();
    const { waiting } = await this.counts();
    if (waiting >= capacity)
      throw new QueueFullError(`${waiting} jobs are waiting already`, {
        remedy: 'Try again after the time that Retry-After says',
        retryAfter: RETRY_AFTER,
      });
    // One that failed is begun anew for whoever asks again.
    const before = await this.#queue.getJob(id);
    if (before && (await before.isFailed())) await before.remove();
    const data = await storeRequest(id, request, store);
    // With an id that is there already, nothing is added: whoever asks again waits for the same job.
    await this.#queue.add('draw', data, {
      jobId: id,
      attempts,
      removeOnComplete: { age: keepSeconds },
      removeOnFail: { age: keepSeconds },
    });
    const job = await this.#queue.getJob(id);
    if (job?.finishedOn === undefined) return;
    if (job.failedReason) asked.reject(failureOf(job.failedReason));
    else asked.resolve(loadResult(job.returnvalue, store));
  }

  #hear(id: string, data: unknown): void {
    const parsed = v.safeParse(progressSchema, data);
    if (!parsed.success) return;
    const { previews, ...step } = parsed.output;
    const pictures = previews.map((png) => Buffer.from(png, 'base64'));
    this.#tell(id, ({ listener }) => listener.onStep?.({ ...step, previews: pictures }));
  }

  #tell(id: string, tell: (waiting: Waiting) => void): void {
    for (const waiting of this.#waiting.get(id) ?? []) tell(waiting);
  }

  #forget(id: string, waiting: Waiting): void {
    const others = this.#waiting.get(id);
    others?.delete(waiting);
    if (others?.size === 0) this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#onEmpty();
  }

  #complete(id: string, returned: unknown): void {
    if (!this.#waiting.has(id)) return;
    const { store } = this.#options;
    const result = loadResult(returned, store);
    // Whoever waits meets the failure of the pictures, if there is one.
    result.catch(() => undefined);
    this.#tell(id, ({ resolve }) => resolve(result));
  }

  /** Takes a job back, or tells the worker that has it. */
  async #cancel(id: string): Promise<void> {
    try {
      const job = await this.#queue.getJob(id);
      if (job && (await job.isWaiting())) await job.remove();
      await this.#cancels.publish(CANCEL_CHANNEL, id);
    } catch {
      // Redis is away: the job is drawn for nobody.
    }
  }
}
