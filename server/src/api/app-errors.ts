/** @file Errors as answers, in the form of the API that was asked. */
import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { openaiError } from './openai/errors.ts';
import { type Problem, problemOf } from './status.ts';

/** An error handler that answers in an API's form, and logs what is the server's fault. */
export function answerErrors(form: (problem: Problem) => object) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const problem = problemOf(error);
    if (problem.status >= 500) request.log.error(error);
    if (problem.retryAfter !== undefined) void reply.header('retry-after', problem.retryAfter);
    return reply.code(problem.status).send(form(problem));
  };
}

/** Statuses of what cannot be read as HTTP, by Node's code; others are 400. */
const UNREADABLE: ReadonlyMap<string, number> = new Map([
  ['HPE_HEADER_OVERFLOW', 431],
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
]);

/** Answers what is no request, and closes the connection. */
export function answerBadly({ code, message }: Error & { readonly code: string }, socket: Socket): void {
  const status = UNREADABLE.get(code) ?? 400;
  const problem = { status, code: 'request', message, field: undefined, retryAfter: undefined };
  const body = JSON.stringify(openaiError(problem));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  // Clients that closed it themselves hear nothing.
  if (!socket.writable) socket.destroy();
  else socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
