/** @file What a server refuses or fails at, beside the library's own errors; `api/status.ts` gives each its HTTP status. */
import { CalotypeError, type ErrorDetails } from 'calotype';

/** Refused for now; the client should come back. */
export abstract class TryLaterError extends CalotypeError {
  /** Seconds after which it is worth trying again. */
  readonly retryAfter: number;

  constructor(problem: string, details: ErrorDetails & { readonly retryAfter: number }) {
    super(problem, details);
    this.retryAfter = details.retryAfter;
  }
}

/** As many jobs wait as may. */
export class QueueFullError extends TryLaterError {
  readonly code = 'queue-full';
}

/** Redis is away, or does not take the job. */
export class QueueUnreachableError extends TryLaterError {
  readonly code = 'queue-unreachable';
}

/** A key asks for more than its share. */
export class RateLimitError extends TryLaterError {
  readonly code = 'rate-limit';
}

/** No key, or one that is not known. */
export class UnauthorizedError extends CalotypeError {
  readonly code = 'unauthorized';
}

/** A body or a picture is over the server's limits. */
export class TooLargeError extends CalotypeError {
  readonly code = 'too-large';
}

/** The server is shutting down, or nothing can compute. */
export class UnavailableError extends CalotypeError {
  readonly code = 'unavailable';
}

/** A job took longer than it may. */
export class JobTimeoutError extends CalotypeError {
  readonly code = 'job-timeout';
}

/** The process that was computing ended. The same job may well succeed in another. */
export class RunnerDiedError extends CalotypeError {
  readonly code = 'runner-died';
}
