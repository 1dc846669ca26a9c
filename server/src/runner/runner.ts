/** @file What computes: a runner holds pipelines and draws one batch of jobs at a time. */
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** A job as a runner has it. */
export interface RunnerJob {
  readonly request: DrawRequest;
  /** Gives the job up; the others of its batch go on. */
  readonly signal: AbortSignal;
  onStep(step: DrawStep): void;
}

/** How a job ended. */
export type DrawOutcome = { readonly drawn: DrawResult } | { readonly failed: unknown };

/** A process, or this one, that draws. */
export interface Runner {
  readonly name: string;
  /** Resolves when it can take a batch; rejects with why it never will. */
  readonly ready: Promise<void>;
  /**
   * Draws jobs with equal batch keys, or one job; outcomes in the order of the jobs. Call it again when it has answered.
   * @throws RunnerDiedError when the process that was drawing ended; call it again and it starts another
   */
  draw(jobs: readonly RunnerJob[]): Promise<readonly DrawOutcome[]>;
  /** Ends it, whatever it does. */
  close(): Promise<void>;
}
