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

/** Something that jobs depend on: a runner, or Redis. */
export interface Part {
  readonly name: string;
  readonly isUp: boolean;
  /** Times that it ended, was lost or failed. */
  readonly failures: number;
}

/** What happens to a part, for the log. */
export interface News {
  readonly part: string;
  readonly level: 'info' | 'error';
  readonly message: string;
  readonly reason?: string;
}

/** A bounded queue of jobs. */
export interface JobQueue {
  /**
   * Puts a job in the queue and waits for its end.
   * @throws QueueFullError or UnavailableError at once, QueueUnreachableError soon; the signal's reason when it is given up;
   * what drawing throws
   */
  submit(id: string, request: DrawRequest, listener: JobListener): Promise<DrawResult>;
  /** Throws QueueUnreachableError. */
  counts(): Promise<QueueCounts>;
  /** What it is made of. */
  parts(): readonly Part[];
  /** Tells what happens to its parts from now on. */
  onNews(listener: (news: News) => void): void;
  /** Whether something can compute: what readiness says. */
  ready(): Promise<boolean>;
  /** Takes no more jobs, waits for those it has, and lets go of everything. */
  close(): Promise<void>;
}

/** Steps before a job's end at which the next is sent, so that its prompts are encoded when these are done. */
const LEAD_STEPS = 2;

/** Whether a job is so near its last step that the next may be begun. */
export function isEnding({ done, total }: DrawStep): boolean {
  return total - done <= LEAD_STEPS;
}
