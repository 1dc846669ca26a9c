/** @file HTTP statuses of errors, and what of an error leaves the server. */
import { CalotypeError } from 'calotype';
import { TryLaterError } from '../errors.ts';

/** An error as an API tells it, before it is put in that API's form. */
export interface Problem {
  readonly status: number;
  /** Stable, for programs. */
  readonly code: string;
  readonly message: string;
  /** The option or field that is at fault. */
  readonly field: string | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
}

/** By `code`; what is not here is a fault of the server. */
const STATUSES: ReadonlyMap<string, number> = new Map([
  ['option', 400],
  ['request', 400],
  ['unauthorized', 401],
  ['too-large', 413],
  ['queue-full', 429],
  ['rate-limit', 429],
  ['unavailable', 503],
  ['backend-unavailable', 503],
  ['queue-unreachable', 503],
  ['job-timeout', 504],
]);

/** Fields that name what there may be or not. */
const ADDRESSED = ['model', 'picture'];
/** Fields whose files come from the client: what is wrong with them is not the server's fault. */
const SENT = ['image', 'mask', 'control_image', 'ip_adapter_image'];

/** What to tell a client of an error. Of unexpected ones only that they happened: their texts may name paths or prompts. */
export function problemOf(error: unknown): Problem {
  const none = { field: undefined, retryAfter: undefined };
  if (error instanceof CalotypeError) {
    const { code, message, field, file } = error;
    const retryAfter = error instanceof TryLaterError ? error.retryAfter : undefined;
    const isSent = file !== undefined && SENT.includes(file);
    if (code === 'not-found' && field !== undefined && ADDRESSED.includes(field))
      return { status: 404, code, message, field, retryAfter };
    if ((code === 'not-found' && field !== undefined && file === undefined) || isSent)
      return { status: 400, code, message, field: field ?? file, retryAfter };
    return { status: STATUSES.get(code) ?? 500, code, message, field, retryAfter };
  }
  if (isHttpError(error) && error.statusCode < 500)
    return {
      ...none,
      status: error.statusCode,
      code: 'request',
      message: error.message,
      field: invalidField(error),
    };
  if (error instanceof DOMException && error.name === 'AbortError')
    return { ...none, status: 499, code: 'cancelled', message: 'The request was given up' };
  return { ...none, status: 500, code: 'internal', message: 'The server failed; its log says why' };
}

/** Errors of Fastify and its plugins: bodies that are no JSON or too large, and schemas that do not match. */
function isHttpError(error: unknown): error is Error & { readonly statusCode: number } {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number';
}

/** The field that a schema refused. */
function invalidField(error: object): string | undefined {
  if (!('validation' in error) || !Array.isArray(error.validation)) return undefined;
  const first: unknown = error.validation[0];
  const path =
    typeof first === 'object' && first !== null && 'instancePath' in first ? first.instancePath : '';
  return typeof path === 'string' && path !== '' ? path.slice(1) : undefined;
}
