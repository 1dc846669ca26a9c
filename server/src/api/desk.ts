/** @file Where every API brings its jobs: limits, time, the queue, one line in the log. */
import { createHash, randomUUID } from 'node:crypto';
import type { FastifyBaseLogger } from 'fastify';
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';
import { JobTimeoutError, RateLimitError } from '../errors.ts';
import { checkLimits, type Limits } from '../limits/limits.ts';
import type { Caller } from '../limits/keys.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { secondsOf } from '../phases.ts';
import type { JobQueue } from '../queue/queue.ts';

/** What a desk works with. */
export interface DeskOptions {
  readonly queue: JobQueue;
  readonly limits: Limits;
  readonly metrics: Metrics;
  /** Whether prompts may be written to the log. */
  readonly logPrompts: boolean;
}

/** Who asked, and who hears of it. */
export interface Errand {
  readonly caller: Caller;
  readonly log: FastifyBaseLogger;
  /** The header Idempotency-Key: on a queue that outlives the server, the caller's same key is the same job. */
  readonly idempotencyKey?: string | undefined;
  /** Gives the job up: the client went away. */
  readonly signal: AbortSignal;
  /** Resolves when the client has its answer, or is gone: until then the request counts as in work. */
  readonly answered: Promise<void>;
  readonly onStart?: () => void;
  readonly onStep?: (step: DrawStep) => void;
}

/** Takes jobs to the queue and waits for them. */
export class Desk {
  readonly #options: DeskOptions;
  /** Jobs in work, by caller. */
  readonly #inWork = new Map<string, number>();

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /** Throws OptionError, TooLargeError and FileFormatError for what the limits forbid, and what `JobQueue.submit` throws. */
  async draw(
    request: DrawRequest,
    { caller, log, idempotencyKey, signal, answered, onStart, onStep }: Errand,
  ): Promise<DrawResult> {
    const { queue, limits, metrics, logPrompts } = this.#options;
    checkLimits(request, limits);
    void answered.then(this.#enter(caller));
    const id = idempotencyKey === undefined ? randomUUID() : idOf(caller, idempotencyKey);
    const { model, seeds, width, height, numInferenceSteps } = request;
    const about = {
      job: id,
      caller: caller.name,
      model,
      pictures: seeds.length,
      width,
      height,
      numInferenceSteps,
    };
    const timer = new AbortController();
    const alarm = setTimeout(
      () =>
        timer.abort(
          new JobTimeoutError(`the job took over ${limits.jobSeconds} seconds`, {
            remedy: 'Ask for fewer steps or pixels, or try again when there is less to do',
          }),
        ),
      limits.jobSeconds * 1000,
    );
    const begin = performance.now();
    let started = begin;
    const start = (): void => {
      started = performance.now();
      onStart?.();
    };
    try {
      const drawn = await queue.submit(id, request, {
        // With a key, the client means to come back.
        signal: idempotencyKey === undefined ? AbortSignal.any([signal, timer.signal]) : timer.signal,
        onStart: start,
        ...(onStep && { onStep }),
      });
      const seconds = (performance.now() - begin) / 1000;
      const queued = (started - begin) / 1000;
      // On a queue past this machine, the news that it was begun may come late.
      const returned = Math.max(0, seconds - queued - secondsOf(drawn.phases));
      const phases = { queue: queued, ...drawn.phases, return: returned };
      const result = { ...drawn, phases };
      metrics.finished(model, seconds, result);
      log.info(
        { ...about, seconds, notices: result.notices, ...(logPrompts && { prompt: request.prompt }) },
        'job done',
      );
      return result;
    } catch (error) {
      metrics.failed(model, error);
      log.info({ ...about, reason: error instanceof Error ? error.name : 'unknown' }, 'job not done');
      throw error;
    } finally {
      clearTimeout(alarm);
    }
  }

  #enter({ name }: Caller): () => void {
    const { concurrent } = this.#options.limits;
    const before = this.#inWork.get(name) ?? 0;
    if (before >= concurrent)
      throw new RateLimitError(`${before} of your requests are in work already`, {
        remedy: 'Wait for one of them',
        retryAfter: 1,
      });
    this.#inWork.set(name, before + 1);
    return () => {
      const left = (this.#inWork.get(name) ?? 1) - 1;
      if (left > 0) this.#inWork.set(name, left);
      else this.#inWork.delete(name);
    };
  }
}

/** A job's id for a caller's key; callers cannot meet each other's jobs. */
function idOf({ name }: Caller, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([name, key]))
    .digest('hex');
}
