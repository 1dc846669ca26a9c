/** @file The worker, what it does now and how far it is. One thing at a time; what goes wrong is shown. */
import { computed, signal } from '@preact/signals';
import { DiffusionWorker, type ProgressEvent } from 'calotype/worker';

/** What goes on. */
export type Activity =
  | { readonly kind: 'idle' }
  | { readonly kind: 'loading'; readonly what: string }
  | { readonly kind: 'drawing' };

/** How far the present phase is. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** Milliseconds left, once that can be told. */
  readonly left: number | undefined;
}

export const worker = new DiffusionWorker();
export const activity = signal<Activity>({ kind: 'idle' });
export const progress = signal<Progress | undefined>(undefined);
/** What went wrong last, for people. */
export const problem = signal<string | undefined>(undefined);
export const busy = computed(() => activity.value.kind !== 'idle');

let controller = new AbortController();

/** Stops what is running. */
export function cancel(): void {
  controller.abort();
}

/** Does one thing, unless another is being done; a cancelled thing is no problem. */
export async function busyWith(what: Activity, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  if (busy.value) return;
  controller = new AbortController();
  const { signal } = controller;
  [activity.value, problem.value, progress.value] = [what, undefined, undefined];
  try {
    await task(signal);
  } catch (error) {
    if (!signal.aborted) problem.value = messageOf(error);
  } finally {
    [activity.value, progress.value] = [{ kind: 'idle' }, undefined];
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const PHASES: Readonly<Record<ProgressEvent['phase'], string>> = {
  download: 'Downloading',
  verify: 'Checking',
  weights: 'Loading weights of',
  kernels: 'Compiling kernels of',
};
let phase = { label: '', begun: 0, from: 0 };

/** Shows how far the worker is. */
export function report({ phase: name, item, done, total }: ProgressEvent): void {
  const label = `${PHASES[name]} ${item}`;
  const now = performance.now();
  if (label !== phase.label) phase = { label, begun: now, from: done };
  const gained = done - phase.from;
  const left = gained > 0 ? ((now - phase.begun) / gained) * (total - done) : undefined;
  progress.value = { label, done, total, left };
}
