/** @file The web server: what holds for every route, and the APIs. */
import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { RateLimitError } from '../errors.ts';
import type { Caller, KeyRing } from '../limits/keys.ts';
import type { Limits } from '../limits/limits.ts';
import { Metrics } from '../metrics/metrics.ts';
import type { AddedSource, NamedSource } from '../models.ts';
import type { JobQueue } from '../queue/queue.ts';
import { version } from '../version.ts';
import { answerBadly, answerErrors } from './app-errors.ts';
import { Desk } from './desk.ts';
import { healthApi } from './health.ts';
import { linksApi, type PictureLinks } from './links.ts';
import { openaiApi } from './openai/index.ts';
import { openaiError } from './openai/errors.ts';
import { controlnetApi } from './webui/controlnet-api.ts';
import { webuiApi } from './webui/index.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asked; set before a route of an API runs. */
    caller: Caller;
  }
}

/** What a server is made of. */
export interface AppOptions {
  readonly models: readonly NamedSource[];
  readonly loras: readonly NamedSource[];
  /** Default none. */
  readonly controlnets?: readonly AddedSource[];
  /** Default none. */
  readonly ipAdapters?: readonly AddedSource[];
  readonly queue: JobQueue;
  readonly keys: KeyRing;
  readonly limits: Limits;
  /** Pages of these origins may ask; default none. */
  readonly origins?: readonly string[];
  readonly logPrompts?: boolean;
  /** Where pictures are put that are asked for by address; without it they cannot be. */
  readonly links?: PictureLinks;
  readonly logger: NonNullable<FastifyServerOptions['logger']>;
}

/** Builds the server; `listen` starts it. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { models, loras, queue, keys, limits, logger, links, origins = [], logPrompts = false } = options;
  const app = fastify({
    logger,
    bodyLimit: limits.bodyBytes,
    // A slow sender would hold a connection for ever otherwise.
    requestTimeout: 60_000,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerBadly,
    // Of addresses that reach no route.
    frameworkErrors: (error, request, reply) => void answerErrors(openaiError)(error, request, reply),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false } },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = limits.connections;
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(answerErrors(openaiError));
  app.setNotFoundHandler((request, reply) => {
    const message = `There is no ${request.method} ${request.url.split('?')[0]}; /openapi.json lists what there is`;
    const problem = { status: 404, code: 'not-found', message, field: undefined, retryAfter: undefined };
    return reply.code(404).send(openaiError(problem));
  });
  app.decorateRequest('caller');
  app.addHook('onSend', async ({ raw: { socket } }) => {
    // Not before: while a job is drawn, nothing is written. Node sets the time anew with the next request.
    socket.setTimeout(limits.stallSeconds * 1000);
  });
  queue.onNews(({ level, message, ...about }) => app.log[level](about, message));
  if (origins.length > 0) await app.register(cors, { origin: [...origins] });
  await app.register(swagger, {
    openapi: {
      info: { title: 'calotype', version, description: 'Pictures from prompts' },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
  });
  const { controlnets = [], ipAdapters = [] } = options;
  const additions = { controlnets, ipAdapters };
  const metrics = new Metrics(queue);
  const desk = new Desk({ queue, limits, metrics, logPrompts });
  // Probes ask all the time.
  await app.register(healthApi, { queue, metrics, logLevel: 'warn' });
  if (links) await app.register(linksApi, { links });
  await app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      request.caller = keys.find(request.headers.authorization, request.ip);
    });
    await limitRate(api, limits);
    await api.register(multipart, {
      limits: { fileSize: limits.bodyBytes, fieldSize: limits.bodyBytes, files: 17, fields: 32, parts: 49 },
    });
    await api.register(openaiApi, { prefix: '/v1', desk, models, additions, links, limits });
    await api.register(webuiApi, { prefix: '/sdapi/v1', desk, models, loras, additions, limits });
    await api.register(controlnetApi, { prefix: '/controlnet', additions });
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  return app;
}

async function limitRate(app: FastifyInstance, { perMinute }: Limits): Promise<void> {
  if (perMinute === 0) return;
  await app.register(rateLimit, {
    max: perMinute,
    timeWindow: '1 minute',
    hook: 'preParsing',
    keyGenerator: ({ caller }) => caller.name,
    errorResponseBuilder: (_request, { ttl }) =>
      new RateLimitError(`over ${perMinute} requests in a minute`, {
        remedy: 'Wait a while',
        retryAfter: Math.ceil(ttl / 1000),
      }),
  });
}
