/**
 * @file The server's half of a queue on Redis (or Valkey), with BullMQ: jobs go in, workers on any machine take them, and
 * events tell of their steps and ends. A job lives in Redis, and ends there whether or not its server is still alive. While
 * Redis is away, new jobs wait for it a moment and are then refused; those that were accepted go on when it is back.
 */
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import * as v from 'valibot';
import type { DrawRequest, DrawResult } from '../draw-request.ts';
import { QueueFullError, QueueUnreachableError, UnavailableError } from '../errors.ts';
import type { PictureStore } from '../storage/store.ts';
import type { JobListener, JobQueue, News, Part, QueueCounts } from './queue.ts';
import {
  CANCEL_CHANNEL,
  failureOf,
  loadResult,
  progressSchema,
  QUEUE,
  type StoredRequest,
  storeRequest,
} from './redis-job.ts';
import { RedisLink, retryStrategy, within } from './redis-link.ts';

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
  /** Seconds that a job waits for Redis before it is refused. Default 5. */
  readonly patience?: number;
}

/** A job that somebody here waits for. */
interface Waiting {
  readonly request: DrawRequest;
  /** Whether it was put into Redis: it is to be there until it ends. */
  isIn: boolean;
  readonly listener: JobListener;
  readonly resolve: (result: DrawResult | Promise<DrawResult>) => void;
  readonly reject: (reason: unknown) => void;
}

/** Seconds after which a refused client may come back. */
const RETRY_AFTER = 5;
/** Default of `keepSeconds`. */
const KEEP = 3600;
/** Default of `patience`. */
const PATIENCE = 5;
/** Milliseconds between looks for jobs whose ends were missed while the connection was away. */
const REVIEW = 10_000;
/** Milliseconds that connections have to close. */
const CLOSE_GRACE = 2000;
/** Milliseconds between sweeps of the storage. */
const SWEEP = 600_000;

/** Jobs in Redis. */
export class RedisQueue implements JobQueue {
  readonly #options: RedisQueueOptions;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  /** For all commands. One that is given up is not sent later, when nobody waits for it. */
  readonly #client: Redis;
  readonly #link = new RedisLink((news) => this.#onNews(news));
  readonly #timers: readonly NodeJS.Timeout[];
  /** By job: there are several where callers ask again. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  /** Jobs that wait for Redis. */
  #knocking = 0;
  #closing = false;
  #onEmpty = (): void => undefined;
  #onNews = (_news: News): void => undefined;

  constructor(options: RedisQueueOptions) {
    this.#options = options;
    const { url, store, keepSeconds = KEEP, patience = PATIENCE } = options;
    this.#client = new Redis(url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: patience * 1000,
      retryStrategy,
    });
    this.#link.follow(this.#client);
    const { prefix } = QUEUE;
    this.#queue = new Queue(QUEUE.name, { connection: this.#client, prefix });
    this.#events = new QueueEvents(QUEUE.name, {
      connection: { url, maxRetriesPerRequest: null, retryStrategy },
      prefix,
    });
    // The client's own errors are heard of there.
    this.#queue.on('error', () => undefined);
    this.#events.on('error', this.#link.fail);
    this.#client.on('ready', () => void this.#review());
    this.#timers = [
      setInterval(() => void store.sweep?.(keepSeconds).catch(() => undefined), SWEEP),
      setInterval(() => void this.#review(), REVIEW),
    ];
    for (const timer of this.#timers) timer.unref();
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
        request,
        isIn: false,
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
      this.#enter(id, waiting).catch(waiting.reject);
    });
  }

  async counts(): Promise<QueueCounts> {
    const {
      waiting = 0,
      delayed = 0,
      active = 0,
    } = await this.#ask(async () => this.#queue.getJobCounts('waiting', 'delayed', 'active'));
    return { waiting: waiting + delayed, active };
  }

  parts(): readonly Part[] {
    return [this.#link.part];
  }

  onNews(listener: (news: News) => void): void {
    this.#onNews = listener;
  }

  async ready(): Promise<boolean> {
    if (this.#closing || !this.#link.part.isUp) return false;
    const asked = this.#queue.getWorkersCount().then(
      (count) => count > 0,
      () => false,
    );
    return within(1000, asked, () => false);
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
    for (const timer of this.#timers) clearInterval(timer);
    const closed = this.#events.close().then(async () => this.#queue.close());
    // Connections that are away may never say that they are closed.
    await within(CLOSE_GRACE, closed, () => undefined);
    this.#client.disconnect();
  }

  /** Asks Redis something. Throws QueueUnreachableError, whatever was wrong. */
  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      if (cause instanceof Error) this.#link.fail(cause);
      throw unreachable(cause);
    }
  }

  /** Waits for Redis, but neither for long nor with many others. */
  async #knock(): Promise<void> {
    const { capacity, patience = PATIENCE } = this.#options;
    if (!this.#link.part.isUp && this.#knocking >= capacity) throw unreachable();
    this.#knocking++;
    try {
      const there = Promise.all([this.#link.untilUp(), this.#events.waitUntilReady()]);
      await within(patience * 1000, there, () => {
        throw unreachable();
      });
    } finally {
      this.#knocking--;
    }
  }

  /** Brings a new job. */
  async #enter(id: string, asked: Waiting): Promise<void> {
    const { capacity } = this.#options;
    await this.#knock();
    const { waiting } = await this.counts();
    if (waiting >= capacity)
      throw new QueueFullError(`${waiting} jobs are waiting already`, {
        remedy: 'Try again after the time that Retry-After says',
        retryAfter: RETRY_AFTER,
      });
    await this.#ask(async () => {
      // One that failed is begun anew for whoever asks again.
      const before = await this.#queue.getJob(id);
      if (before && (await before.isFailed())) await before.remove();
    });
    const data = await storeRequest(id, asked.request, this.#options.store);
    await this.#put(id, data);
    asked.isIn = true;
    await this.#look(id, asked);
  }

  /** With an id that is there already, nothing is added: whoever asks again waits for the same job. */
  async #put(id: string, data: StoredRequest): Promise<void> {
    const { attempts, keepSeconds = KEEP } = this.#options;
    await this.#ask(async () =>
      this.#queue.add('draw', data, {
        jobId: id,
        attempts,
        removeOnComplete: { age: keepSeconds },
        removeOnFail: { age: keepSeconds },
      }),
    );
  }

  /** Tells one that waits how its job ended, if it has. */
  async #look(id: string, asked: Waiting): Promise<boolean> {
    const job = await this.#ask(async () => this.#queue.getJob(id));
    if (job?.finishedOn === undefined) return job !== undefined;
    if (job.failedReason) asked.reject(failureOf(job.failedReason));
    else asked.resolve(loadResult(job.returnvalue, this.#options.store));
    return true;
  }

  /** Ends may be missed while the connection is away, and a Redis that keeps nothing forgets jobs when it ends itself. */
  async #review(): Promise<void> {
    const waiting = [...this.#waiting].flatMap(([id, all]) => [...all].map((one) => ({ id, one })));
    for (const { id, one } of waiting.filter(({ one: { isIn } }) => isIn))
      try {
        if ((await this.#look(id, one)) || !this.#waiting.get(id)?.has(one)) continue;
        await this.#put(id, await storeRequest(id, one.request, this.#options.store));
      } catch {
        // It is looked at again.
      }
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
      await this.#client.publish(CANCEL_CHANNEL, id);
    } catch {
      // Redis is away: the job is drawn for nobody.
    }
  }
}

function unreachable(cause?: unknown): QueueUnreachableError {
  return new QueueUnreachableError('the queue cannot be reached', {
    remedy: 'Try again after the time that Retry-After says',
    retryAfter: RETRY_AFTER,
    cause,
  });
}
