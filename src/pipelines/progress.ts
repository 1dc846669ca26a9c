/** @file Progress of everything that takes over a second, as one kind of event. */

/** How far something is; `done` of `total`. */
export interface ProgressEvent {
  /** `download` and `verify` count bytes, `weights` tensors of a component, `kernels` compiled kernels. */
  readonly phase: 'download' | 'verify' | 'weights' | 'kernels';
  /** File or component: `unet`. */
  readonly item: string;
  /** So much of `total`. */
  readonly done: number;
  /** Known from the first event on. */
  readonly total: number;
}

/** Told about progress; must not throw. */
export type ProgressListener = (event: ProgressEvent) => void;
