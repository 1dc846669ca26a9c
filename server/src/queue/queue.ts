/** @file What a queue is to the server: a place for jobs, with an end to each. Workers are the queue's own affair. */
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** Who hears of a job. */
export interface JobListener {
  /** Gives the job up, wherever it is. */
  readonly signal: AbortSignal;
  onStart?(): void;
  onStep?(step: DrawStep): void;
}

/** How much there is to do. */
export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
}

/** A bounded queue of jobs. */
export interface JobQueue {
  /**
   * Puts a job in the queue and waits for its end.
   * @throws QueueFullError or UnavailableError at once; the signal's reason when it is given up; what drawing throws
   */
  submit(id: string, request: DrawRequest, listener: JobListener): Promise<DrawResult>;
  counts(): Promise<QueueCounts>;
  /** Whether something can compute: what readiness says. */
  ready(): Promise<boolean>;
  /** Takes no more jobs, waits for those it has, and lets go of everything. */
  close(): Promise<void>;
}
