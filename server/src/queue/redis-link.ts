/** @file Whether Redis is there: what its connections say, in words for the log and numbers for the metrics. */
import { setTimeout } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { News, Part } from './queue.ts';

const NAME = 'redis';

/** Milliseconds before a connection is tried again for the nth time. */
export function retryStrategy(times: number): number {
  return Math.min(100 * 2 ** Math.min(times, 10), 5000);
}

/** Hears connections to one Redis. They come back by themselves. */
export class RedisLink {
  readonly #onNews: (news: News) => void;
  #isUp = false;
  #failures = 0;
  /** While it is away every attempt fails alike: the first is told. */
  #isTold = false;
  /** Milliseconds since 1970. */
  #lost = Date.now();
  /** Those who wait for it. */
  readonly #waiters: (() => void)[] = [];

  constructor(onNews: (news: News) => void) {
    this.#onNews = onNews;
  }

  get part(): Part {
    return { name: NAME, isUp: this.#isUp, failures: this.#failures };
  }

  async untilUp(): Promise<void> {
    if (!this.#isUp) await new Promise<void>((resolve) => void this.#waiters.push(resolve));
  }

  /** The connection whose state is that of the link. */
  follow(client: Redis): void {
    client.on('ready', () => {
      if (this.#isUp) return;
      this.#isUp = true;
      for (const resolve of this.#waiters.splice(0)) resolve();
      const seconds = Math.round((Date.now() - this.#lost) / 1000);
      this.#tell('info', this.#isTold ? `Redis is there again, after ${seconds} s` : 'Redis is there');
      this.#isTold = false;
    });
    client.on('close', () => {
      if (!this.#isUp) return;
      this.#isUp = false;
      this.#lost = Date.now();
      this.fail(new Error('the connection was closed'));
    });
    client.on('error', this.fail);
  }

  /** Hears of an error, of any connection. */
  readonly fail = (error: Error): void => {
    this.#failures++;
    if (!this.#isUp && this.#isTold) return;
    this.#isTold = !this.#isUp;
    this.#tell('error', this.#isUp ? 'Redis failed' : 'Redis is away', textOf(error));
  };

  #tell(level: News['level'], message: string, reason?: string): void {
    this.#onNews({ part: NAME, level, message, ...(reason !== undefined && { reason }) });
  }
}

/** Of errors for several addresses of a host, whose texts are empty, their code. */
function textOf(error: Error): string {
  return error.message === '' && 'code' in error ? String(error.code) : error.message;
}

/** What a promise gives, or `late` after so many milliseconds. */
export async function within<T>(milliseconds: number, promise: Promise<T>, late: () => T): Promise<T> {
  const stop = new AbortController();
  const alarm = setTimeout(milliseconds, undefined, { signal: stop.signal }).then(late);
  // It is heard of only if it comes first.
  alarm.catch(() => undefined);
  try {
    return await Promise.race([promise, alarm]);
  } finally {
    stop.abort();
  }
}
