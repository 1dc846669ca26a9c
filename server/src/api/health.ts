/** @file For those who run the server: is it alive, can it draw, what has it done. */
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Metrics } from '../metrics/metrics.ts';
import type { JobQueue } from '../queue/queue.ts';

/** What the routes ask. */
export interface HealthOptions {
  readonly queue: Pick<JobQueue, 'ready'>;
  readonly metrics: Metrics;
}

const stateSchema = Type.Object({ status: Type.Enum(['ok', 'not ready']) });

/** `/health`, `/ready` and `/metrics`; they need no key, so that probes can ask. */
export const healthApi: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { queue, metrics }) => {
  app.get(
    '/health',
    { schema: { summary: 'The process answers', response: { 200: stateSchema } } },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/ready',
    {
      schema: {
        summary: 'Jobs are accepted and something can draw them',
        response: { 200: stateSchema, 503: stateSchema },
      },
    },
    async (_request, reply) => {
      const ready = await queue.ready();
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'not ready' });
    },
  );

  app.get('/metrics', { schema: { summary: "Prometheus' text format" } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );
};
