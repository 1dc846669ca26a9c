/**
 * @file What a server and a runner's process say to each other over Node's IPC channel, which clones as workers do.
 * A process draws one batch at a time, so that batches need no numbers; messages of an earlier one cannot come late.
 */
import type { SentError } from 'calotype';
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** To the process. */
export type ToRunner =
  | { readonly draw: readonly DrawRequest[] }
  /** Place of a job in its batch. */
  | { readonly abort: number };

/** How a job ended. */
export type SentOutcome = { readonly drawn: DrawResult } | { readonly failed: SentError };

/** From the process. */
export type FromRunner =
  | { readonly ready: true }
  /** It cannot begin, and ends. */
  | { readonly obstacle: SentError }
  | { readonly job: number; readonly step: DrawStep }
  | { readonly outcomes: readonly SentOutcome[] };
