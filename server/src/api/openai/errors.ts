/** @file Errors in OpenAI's form. */
import type { Static } from '@fastify/type-provider-typebox';
import type { Problem } from '../status.ts';
import type { errorSchema } from './schemas.ts';

const TYPES: ReadonlyMap<number, string> = new Map([
  [401, 'authentication_error'],
  [429, 'rate_limit_error'],
]);

/** The body of an answer that tells a problem. */
export function openaiError({ status, code, message, field }: Problem): Static<typeof errorSchema> {
  const type = TYPES.get(status) ?? (status < 500 ? 'invalid_request_error' : 'server_error');
  return { error: { message, type, param: field ?? null, code } };
}
