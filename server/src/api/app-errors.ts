/** @file Errors as answers, in the form of the API that was asked. */
import type { FastifyReply, FastifyRequest } from 'fastify';
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
