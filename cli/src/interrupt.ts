/** @file Ctrl-C: the first press asks a run to stop, the second ends the program. */

/**
 * One press can arrive as several signals: the terminal sends it to every process of its group, and npx and
 * restart.ts forward what they receive.
 */
const SAME_PRESS_MS = 500;

/** The exit code of a program that SIGINT ended: 128 + 2. */
export const INTERRUPTED_EXIT_CODE = 130;

/**
 * Calls `listener` with the number of the press (1, 2, ...) for each press of Ctrl-C.
 *
 * @returns a function that stops listening, so that Ctrl-C ends the program again.
 */
export function onInterrupt(listener: (press: number) => void): () => void {
  let presses = 0;
  let last = -Infinity;
  const onSignal = (): void => {
    const now = performance.now();
    if (now - last < SAME_PRESS_MS) return;
    last = now;
    listener(++presses);
  };
  process.on('SIGINT', onSignal);
  return () => process.off('SIGINT', onSignal);
}

/**
 * Runs `work` with a signal that the first Ctrl-C aborts; the second ends the program at once.
 *
 * @param work what to run; it should stop soon after the signal and reject with its reason.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = onInterrupt((press) => {
    if (press > 1) process.exit(INTERRUPTED_EXIT_CODE);
    process.stderr.write('\nStopping; press Ctrl-C again to quit at once.\n');
    controller.abort(new InterruptedError());
  });
  try {
    return await work(controller.signal);
  } finally {
    stop();
  }
}

/** Resolves at the first Ctrl-C or SIGTERM, for programs that run until then; a second Ctrl-C ends the program at once. */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    onInterrupt((press) => {
      if (press > 1) process.exit(INTERRUPTED_EXIT_CODE);
      resolve();
    });
    process.on('SIGTERM', () => resolve());
  });
}

/** The reason of an abort by Ctrl-C; not a failure. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';

  constructor() {
    super('Stopped.');
  }
}
