/** @file What computes: a runner holds pipelines and draws jobs, several at a time if they can share steps. */
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** A job as a runner has it. */
export interface RunnerJob {
  readonly request: DrawRequest;
  /** Gives the job up; those that it shares steps with go on. */
  readonly signal: AbortSignal;
  onStep(step: DrawStep): void;
}

/** A process, or this one, that draws. */
export interface Runner {
  readonly name: string;
  /** Resolves when it can take a batch; rejects with why it never will. */
  readonly ready: Promise<void>;
  /**
   * Draws a job. It may be called again before it has answered, for jobs with equal batch keys: they join between steps.
   * @throws what drawing throws; the signal's reason; RunnerDiedError when the process that was drawing ended: call it
   * again and it starts another
   */
  draw(job: RunnerJob): Promise<DrawResult>;
  /** Ends it, whatever it does. */
  close(): Promise<void>;
}
