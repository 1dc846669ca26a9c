/** @file Opens the first backend of a list that works. */

import type { Backend, BackendFactory } from '../../backends/backend.ts';
import { BackendUnavailableError, type BackendAttempt } from '../../errors.ts';

/** Options of `openBackend`. */
export interface OpenBackendOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of each backend that cannot be used, before the next is tried. */
  readonly onSkipped?: (attempt: BackendAttempt) => void;
  /** The option that names the backends, for the error. Default: `backends`. */
  readonly field?: string;
}

/**
 * Opens the first backend that works.
 * @throws BackendUnavailableError with every attempt's reason and remedy
 */
export async function openBackend(
  factories: readonly BackendFactory[],
  { signal, onSkipped, field = 'backends' }: OpenBackendOptions = {},
): Promise<Backend> {
  const attempts: BackendAttempt[] = [];
  for (const factory of factories) {
    signal?.throwIfAborted();
    const opened = await factory.open(signal ? { signal } : {});
    if (!isAttempt(opened)) return opened;
    attempts.push(opened);
    onSkipped?.(opened);
  }
  const reasons = attempts.map(({ backend, reason, remedy }) => `${backend}: ${reason} (${remedy})`);
  throw new BackendUnavailableError(`no backend can be used: ${reasons.join('; ') || 'none was given'}`, {
    attempts,
    ...(field !== 'backends' && { field }),
    remedy: `Follow one of the remedies, or name another backend with the option \`${field}\``,
  });
}

function isAttempt(opened: Backend | BackendAttempt): opened is BackendAttempt {
  return 'reason' in opened;
}
