/** @file What a worker tells those who run it: its log, and over HTTP, if it listens, health, readiness and metrics. */
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { Metrics } from '../metrics/metrics.ts';
import type { RedisWorker } from '../queue/redis-worker.ts';
import { healthApi } from './health.ts';

/** `listen` makes it answer; it logs in any case. */
export async function createWorkerApp(
  worker: RedisWorker,
  logger: NonNullable<FastifyServerOptions['logger']>,
): Promise<FastifyInstance> {
  const app = fastify({ logger, forceCloseConnections: true });
  const metrics = new Metrics(worker);
  worker.onNews(({ level, message, ...about }) => app.log[level](about, message));
  worker.onEnd(({ id, model = 'unknown', attempt, seconds, result, error }) => {
    const about = { job: id, model, attempt, seconds };
    if (result) {
      metrics.finished(model, seconds, result);
      app.log.info({ ...about, pictures: result.pictures.length }, 'job done');
    } else {
      metrics.failed(model, error);
      app.log.info(
        { ...about, reason: error instanceof Error ? error.message : String(error) },
        'job not done',
      );
    }
  });
  await app.register(healthApi, { queue: worker, metrics, logLevel: 'warn' });
  return app;
}
