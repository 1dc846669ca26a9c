/** @file The queue inside the server's process: bounded, in the order of arrival; compatible jobs join those that are drawn. */
import { batchKey, type DrawRequest, type DrawResult, type DrawStep } from '../draw-request.ts';
import { QueueFullError, RunnerDiedError, UnavailableError } from '../errors.ts';
import type { Runner } from '../runner/runner.ts';
import {
  isEnding,
  type JobListener,
  type JobQueue,
  type News,
  type Part,
  type QueueCounts,
} from './queue.ts';

/** Options of a `MemoryQueue`. */
export interface MemoryQueueOptions {
  readonly runners: readonly Runner[];
  /** Jobs that may wait. */
  readonly capacity: number;
  /** Pictures that a runner may draw at a time; 1 turns batching off. */
  readonly maxBatch: number;
  /** Times that a job is begun when runners die of it. */
  readonly attempts: number;
}

/** A job that has not ended. */
interface Entry {
  readonly request: DrawRequest;
  readonly key: string | undefined;
  readonly listener: JobListener;
  readonly resolve: (result: DrawResult) => void;
  readonly reject: (reason: unknown) => void;
  attempts: number;
  /** Jobs that came later and were begun before it. */
  overtaken: number;
}

/** A runner and its jobs. */
interface Desk {
  readonly runner: Runner;
  /** Times that it ended. */
  failures: number;
  /** Those that have steps to go, but for the last few; they have equal keys. */
  readonly drawing: Set<Entry>;
  /** Those that are at these, or whose pictures are decoded and encoded, beside the next ones' steps. */
  readonly finishing: Set<Entry>;
}

/** Seconds that a job is taken to last before any has. */
const FIRST_GUESS = 5;

/** Jobs in memory; they end with the process. */
export class MemoryQueue implements JobQueue {
  readonly #options: MemoryQueueOptions;
  readonly #waiting: Entry[] = [];
  readonly #desks: readonly Desk[];
  #closing = false;
  /** Why no runner will ever be there. */
  #obstacle: Error | undefined;
  #onNews = (_news: News): void => undefined;
  /** Moving mean of what a job takes a runner, in seconds. */
  #jobSeconds = FIRST_GUESS;
  #onEmpty = (): void => undefined;

  constructor(options: MemoryQueueOptions) {
    this.#options = options;
    this.#desks = options.runners.map((runner) => ({
      runner,
      failures: 0,
      drawing: new Set<Entry>(),
      finishing: new Set<Entry>(),
    }));
    for (const desk of this.#desks) this.#watch(desk);
    Promise.any(options.runners.map(({ ready }) => ready)).catch((error: AggregateError) => {
      const [first] = error.errors as unknown[];
      this.#obstacle = first instanceof Error ? first : error;
      for (const entry of this.#waiting.splice(0)) entry.reject(this.#obstacle);
      this.#check();
    });
  }

  async submit(_id: string, request: DrawRequest, listener: JobListener): Promise<DrawResult> {
    listener.signal.throwIfAborted();
    if (this.#closing)
      throw new UnavailableError('the server is shutting down', { remedy: 'Try another, or again later' });
    if (this.#obstacle !== undefined) throw this.#obstacle;
    return new Promise<DrawResult>((resolve, reject) => {
      const leave = (): void => {
        // A job that is being drawn is told by its runner.
        if (!this.#waiting.includes(entry)) return;
        this.#withdraw(entry);
        entry.reject(listener.signal.reason);
        this.#check();
      };
      const entry: Entry = {
        request,
        key: batchKey(request),
        listener,
        resolve: (result) => {
          listener.signal.removeEventListener('abort', leave);
          resolve(result);
        },
        reject: (reason) => {
          listener.signal.removeEventListener('abort', leave);
          // oxlint-disable-next-line prefer-promise-reject-errors -- signals may have any reason.
          reject(reason);
        },
        attempts: 0,
        overtaken: 0,
      };
      listener.signal.addEventListener('abort', leave);
      this.#waiting.push(entry);
      this.#dispatch();
      if (this.#waiting.length > this.#options.capacity) {
        this.#withdraw(entry);
        entry.reject(this.#full());
      }
    });
  }

  async counts(): Promise<QueueCounts> {
    return { waiting: this.#waiting.length, active: this.#active() };
  }

  parts(): readonly Part[] {
    return this.#desks.map(({ runner, failures }) => ({ name: runner.name, isUp: isUp(runner), failures }));
  }

  onNews(listener: (news: News) => void): void {
    this.#onNews = listener;
  }

  async ready(): Promise<boolean> {
    return !this.#closing && this.#options.runners.some(isUp);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#check();
    });
    await Promise.all(this.#options.runners.map((runner) => runner.close()));
  }

  /** Jobs go to those that are up; one that comes back takes what waits. */
  #watch(desk: Desk): void {
    const part = desk.runner.name;
    desk.runner.watch?.((change) => {
      if (change.isUp) {
        this.#onNews({ part, level: 'info', message: 'runner is up' });
        this.#dispatch();
        return;
      }
      desk.failures++;
      const reason = change.reason?.message;
      if (!this.#closing)
        this.#onNews({
          part,
          level: 'error',
          message: 'runner ended',
          ...(reason !== undefined && { reason }),
        });
    });
  }

  #active(): number {
    return this.#desks.reduce((sum, { drawing, finishing }) => sum + drawing.size + finishing.size, 0);
  }

  #full(): QueueFullError {
    const { capacity, runners } = this.#options;
    return new QueueFullError(`${capacity} jobs are waiting already`, {
      remedy: 'Try again after the time that Retry-After says',
      retryAfter: Math.ceil((this.#waiting.length * this.#jobSeconds) / runners.length / 2) || 1,
    });
  }

  #withdraw(entry: Entry): void {
    const place = this.#waiting.indexOf(entry);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  /** Begins what can be begun. Nobody is overtaken by more jobs than share a batch. */
  #dispatch(): void {
    const passed: Entry[] = [];
    for (const entry of this.#waiting.slice()) {
      const desk = this.#deskFor(entry);
      if (desk) {
        this.#withdraw(entry);
        for (const waiting of passed) waiting.overtaken++;
        void this.#run(desk, entry);
      } else if (entry.overtaken >= this.#options.maxBatch) return;
      else passed.push(entry);
    }
  }

  /** An idle runner, else one whose last pictures need no more steps, else one whose pictures a job can join. */
  #deskFor({ key, request }: Entry): Desk | undefined {
    const { maxBatch } = this.#options;
    const desks = this.#desks.filter(({ runner }) => isUp(runner));
    const free = desks.filter(({ drawing, finishing }) => {
      const isSame = [...finishing].every((entry) => entry.request.model === request.model);
      return drawing.size === 0 && isSame && picturesOf(finishing) <= maxBatch;
    });
    const idle = free.find(({ finishing }) => finishing.size === 0) ?? free[0];
    if (idle || key === undefined) return idle;
    return desks.find(({ drawing }) => {
      const [first] = drawing;
      return first?.key === key && picturesOf(drawing) + request.seeds.length <= maxBatch;
    });
  }

  async #run(desk: Desk, entry: Entry): Promise<void> {
    const { runner, drawing, finishing } = desk;
    const { request, listener } = entry;
    const begin = performance.now();
    drawing.add(entry);
    entry.attempts++;
    const onStep = (step: DrawStep): void => {
      listener.onStep?.(step);
      if (!isEnding(step) || !drawing.delete(entry)) return;
      finishing.add(entry);
      this.#dispatch();
    };
    try {
      listener.onStart?.();
      const result = await runner.draw({ request, signal: listener.signal, onStep });
      const seconds = (performance.now() - begin) / 1000 / (drawing.size + finishing.size);
      this.#jobSeconds += (seconds - this.#jobSeconds) / 8;
      entry.resolve(result);
    } catch (reason) {
      this.#retry(entry, reason);
    } finally {
      drawing.delete(entry);
      finishing.delete(entry);
      this.#dispatch();
      this.#check();
    }
  }

  /** A job whose runner died goes back to the front; it has its seeds, so that the pictures will be the same. */
  #retry(entry: Entry, reason: unknown): void {
    const { signal } = entry.listener;
    if (signal.aborted) entry.reject(signal.reason);
    else if (reason instanceof RunnerDiedError && entry.attempts < this.#options.attempts)
      this.#waiting.unshift(entry);
    else entry.reject(reason);
  }

  #check(): void {
    if (this.#waiting.length === 0 && this.#active() === 0) this.#onEmpty();
  }
}

function picturesOf(entries: ReadonlySet<Entry>): number {
  return [...entries].reduce((sum, { request }) => sum + request.seeds.length, 0);
}

function isUp(runner: Runner): boolean {
  return runner.isUp ?? true;
}
