/**
 * @file What a server and a runner's process say to each other over Node's IPC channel, which clones as workers do. Jobs
 * have numbers, since several are drawn at a time.
 */
import type { SentError } from 'calotype';
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';

/** To the process. */
export type ToRunner = { readonly draw: DrawRequest; readonly job: number } | { readonly abort: number };

/** From the process. */
export type FromRunner =
  | { readonly ready: true }
  /** It cannot begin, and ends. */
  | { readonly obstacle: SentError }
  | { readonly job: number; readonly step: DrawStep }
  | { readonly job: number; readonly drawn: DrawResult }
  | { readonly job: number; readonly failed: SentError };
