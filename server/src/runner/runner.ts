/** @file What computes: a runner holds pipelines and draws jobs, several at a time if they can share steps. */
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** A job as a runner has it. */
export interface RunnerJob {
  readonly request: DrawRequest;
  /** Gives the job up; those that it shares steps with go on. */
  readonly signal: AbortSignal;
  onStep(step: DrawStep): void;
}

/** A runner can take jobs from now on, or no more. */
export interface RunnerChange {
  readonly isUp: boolean;
  /** Why it cannot. */
  readonly reason?: Error;
}

/** A process, or this one, that draws. */
export interface Runner {
  readonly name: string;
  /** Resolves when it can take jobs for the first time; rejects with why it never will. */
  readonly ready: Promise<void>;
  /** Whether it can take jobs now; absent for one that always can. */
  readonly isUp?: boolean;
  /** Tells when it comes up, and of each end. */
  watch?(listener: (change: RunnerChange) => void): void;
  /**
   * Draws a job. It may be called again before it has answered, for jobs with equal batch keys: they join between steps.
   * @throws what drawing throws; the signal's reason; RunnerDiedError when the process that was drawing ended
   */
  draw(job: RunnerJob): Promise<DrawResult>;
  /** Ends it, whatever it does. */
  close(): Promise<void>;
}
