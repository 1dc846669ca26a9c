/** @file stable-diffusion-webui's API: its routes, for clients that were written for it. */
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { decodePng, WEBUI_SAMPLERS, WEBUI_SCHEDULE_TYPES } from 'calotype';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { checkPng, type Limits } from '../../limits/limits.ts';
import { findModel, type NamedSource } from '../../models.ts';
import { serverTiming } from '../../phases.ts';
import { answered, clientSignal } from '../client.ts';
import type { Desk } from '../desk.ts';
import type { Additions } from '../additions.ts';
import { answerErrors } from '../app-errors.ts';
import { progressOf, resultOf, webuiError } from './answers.ts';
import { readBase64 } from '../base64.ts';
import { catalogueApi } from './catalogue.ts';
import { withoutHash } from './fields.ts';
import { readJob } from './request.ts';
import {
  errorSchema,
  type Img2img,
  img2imgSchema,
  optionsSchema,
  pngInfoSchema,
  pngTextsSchema,
  progressSchema,
  resultSchema,
  type Txt2img,
  txt2imgSchema,
} from './schemas.ts';
import { Sessions, WebuiProgress } from './sessions.ts';

/** What the API needs. */
export interface WebuiApiOptions {
  readonly desk: Desk;
  readonly models: readonly NamedSource[];
  readonly loras: readonly NamedSource[];
  readonly additions: Additions;
  readonly limits: Limits;
}

/** Mount it at `/sdapi/v1`. */
export const webuiApi: FastifyPluginAsyncTypebox<WebuiApiOptions> = async (
  app,
  { desk, models, loras, additions, limits },
) => {
  const sessions = new Sessions();
  app.setErrorHandler(answerErrors(webuiError));
  const errors = { '4xx': errorSchema, '5xx': errorSchema };
  const done = { 200: Type.Object({}), ...errors };

  const draw = async (
    body: Txt2img | Img2img,
    { caller, log }: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const { options, jobs } = sessions.of(caller);
    const { request, notices } = readJob(body, options, models, additions);
    const progress = new WebuiProgress();
    const signal = AbortSignal.any([clientSignal(reply), progress.signal]);
    jobs.add(progress);
    try {
      const onStep = progress.onStep.bind(progress);
      const errand = { caller, log, signal, answered: answered(reply), onStep };
      const result = await desk.draw(request, errand);
      return await reply
        .header('server-timing', serverTiming(result.phases))
        .send(resultOf(body, request, result.pictures, [...notices, ...result.notices]));
    } catch (error) {
      if (!progress.signal.aborted) throw error;
      return await reply.send(resultOf(body, request, [], [...notices, 'the job was interrupted']));
    } finally {
      jobs.delete(progress);
    }
  };
  const interrupt = async ({ caller }: FastifyRequest): Promise<object> => {
    for (const job of sessions.of(caller).jobs) job.interrupt();
    return {};
  };

  app.post(
    '/txt2img',
    {
      schema: {
        summary: 'Pictures of a prompt',
        body: txt2imgSchema,
        response: { 200: resultSchema, ...errors },
      },
    },
    async (request, reply) => draw(request.body, request, reply),
  );
  app.post(
    '/img2img',
    {
      schema: {
        summary: 'Pictures of a prompt and a picture',
        body: img2imgSchema,
        response: { 200: resultSchema, ...errors },
      },
    },
    async (request, reply) => draw(request.body, request, reply),
  );
  app.get(
    '/progress',
    {
      schema: {
        summary: "How far the caller's job is, with a preview",
        querystring: Type.Object({
          skip_current_image: Type.Optional(Type.Enum(['true', 'false', 'True', 'False'])),
        }),
        response: { 200: progressSchema, ...errors },
      },
    },
    async ({ caller, query }) => {
      const progress = progressOf(sessions.of(caller).jobs);
      return query.skip_current_image?.toLowerCase() === 'true'
        ? { ...progress, current_image: null }
        : progress;
    },
  );
  app.post('/interrupt', { schema: { summary: "Stops the caller's jobs", response: done } }, interrupt);
  app.post('/skip', { schema: { summary: 'The same', response: done } }, interrupt);

  app.get('/options', { schema: { summary: 'Options of the caller' } }, async ({ caller }) => ({
    sd_model_checkpoint: models[0].name,
    CLIP_stop_at_last_layers: 1,
    randn_source: 'GPU',
    samples_format: 'png',
    ...sessions.of(caller).options,
  }));
  app.post(
    '/options',
    { schema: { summary: "Changes the caller's options", body: optionsSchema, response: done } },
    async ({ caller, body }) => {
      if (body.sd_model_checkpoint !== undefined) findModel(models, withoutHash(body.sd_model_checkpoint));
      const session = sessions.of(caller);
      session.options = { ...session.options, ...body };
      return {};
    },
  );

  app.get('/sd-models', { schema: { summary: 'The models that are served' } }, async () =>
    models.map(({ name }) => ({
      title: name,
      model_name: name,
      hash: null,
      sha256: null,
      filename: name,
      config: null,
    })),
  );
  app.get('/loras', { schema: { summary: 'LoRAs that prompts may name' } }, async () =>
    loras.map(({ name }) => ({ name, alias: name, path: name, metadata: {} })),
  );
  app.get('/samplers', { schema: { summary: 'Samplers' } }, async () =>
    WEBUI_SAMPLERS.map((name) => ({ name, aliases: [], options: {} })),
  );
  app.get('/schedulers', { schema: { summary: 'Schedule types' } }, async () =>
    WEBUI_SCHEDULE_TYPES.map((label) => ({
      name: label.toLowerCase(),
      label,
      aliases: null,
      default_rho: -1,
      need_inner_model: false,
    })),
  );
  app.get('/scripts', { schema: { summary: 'What alwayson_scripts may have' } }, async () => ({
    // Some clients know the extension by the second.
    txt2img: ['controlnet', 'controlnet m2m'],
    img2img: ['controlnet', 'controlnet m2m'],
  }));
  await app.register(catalogueApi);
  app.post(
    '/png-info',
    {
      schema: {
        summary: 'What a picture says about itself',
        body: pngInfoSchema,
        response: { 200: pngTextsSchema, ...errors },
      },
    },
    async ({ body }) => {
      const png = readBase64('image', body.image);
      checkPng(png, 'image', limits);
      const items = Object.fromEntries(decodePng(png, 'image').text);
      return { info: items['parameters'] ?? '', items, parameters: {} };
    },
  );
};
