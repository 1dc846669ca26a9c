/** @file Where a run is between two of its steps, so that it can be gone on with elsewhere: after a lost device, or later. */

import type { Seed } from './options/call-options.ts';
import { refuse } from './options/checks.ts';

/** A run after one of its steps. It can be cloned and sent. */
export interface Checkpoint {
  /** Steps that are done. */
  readonly done: number;
  /** Steps of the whole run. */
  readonly total: number;
  /** Of the noise that was drawn, and of what is still to be drawn. */
  readonly seed: Seed | readonly Seed[];
  /** The latents and the scheduler's history, as programs have them. */
  readonly state: Float32Array;
}

/** The steps that are done of a run that goes on. Throws OptionError for a checkpoint of a run of another length. */
export function stepsDone(from: Checkpoint, total: number): number {
  if (from.total === total) return from.done;
  return refuse(
    'resumeFrom',
    `it is of a run of ${from.total} steps, and this one has ${total}`,
    'Give the options and the scheduler that the run was begun with',
  );
}

/** @throws OptionError for what no step gave. */
export function checkCheckpoint(from: Checkpoint | null | undefined): void {
  if (from === undefined) return;
  const { done = 0, total = 0, state } = from ?? {};
  const fits = [done, total].every(Number.isInteger) && done > 0 && done <= total;
  if (!fits || !(state instanceof Float32Array))
    refuse('resumeFrom', 'it is no checkpoint', 'Give what `checkpoint` of a step gave');
}
