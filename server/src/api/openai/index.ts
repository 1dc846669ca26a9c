/** @file OpenAI's images API: its routes, and its errors' form. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { findModel, type NamedSource } from '../../models.ts';
import type { Additions } from '../additions.ts';
import type { Limits } from '../../limits/limits.ts';
import type { Desk } from '../desk.ts';
import type { PictureLinks } from '../links.ts';
import { readEdit, readForm } from './edits.ts';
import { answer, readGeneration } from './generations.ts';
import {
  editSchema,
  errorSchema,
  generationSchema,
  imagesSchema,
  modelParametersSchema,
  modelSchema,
  modelsSchema,
} from './schemas.ts';

/** What the API needs. */
export interface OpenaiOptions {
  readonly desk: Desk;
  readonly models: readonly NamedSource[];
  readonly additions: Additions;
  readonly links: PictureLinks | undefined;
  readonly limits: Limits;
}

/** Mount it at `/v1`. */
export const openaiApi: FastifyPluginAsyncTypebox<OpenaiOptions> = async (
  app,
  { desk, models, additions, links, limits },
) => {
  const created = Math.floor(Date.now() / 1000);
  const described = ({ name }: NamedSource) =>
    ({ id: name, object: 'model', created, owned_by: 'calotype' }) as const;

  app.get(
    '/models',
    {
      schema: { summary: 'The models that are served', response: { 200: modelsSchema, '4xx': errorSchema } },
    },
    async () => ({ object: 'list' as const, data: models.map(described) }),
  );

  app.get(
    '/models/:model',
    {
      schema: {
        summary: 'One model',
        params: modelParametersSchema,
        response: { 200: modelSchema, '4xx': errorSchema },
      },
    },
    async ({ params }) => described(findModel(models, params.model)),
  );

  app.post(
    '/images/generations',
    {
      schema: {
        summary: 'Pictures of a prompt',
        description:
          'With stream: true, events image_generation.partial_image and image_generation.completed.',
        body: generationSchema,
        response: { 200: imagesSchema, '4xx': errorSchema, '5xx': errorSchema },
      },
    },
    async (request, reply) => {
      const { body } = request;
      const job = readGeneration(body, models, additions);
      return answer(desk, job, body, links, 'image_generation', request, reply);
    },
  );

  app.post(
    '/images/edits',
    {
      schema: {
        summary: 'Pictures of a prompt and a picture; with a mask, only its transparent part is painted',
        description: 'With stream: true, events image_edit.partial_image and image_edit.completed.',
        consumes: ['multipart/form-data'],
        body: editSchema,
        response: { 200: imagesSchema, '4xx': errorSchema, '5xx': errorSchema },
      },
      // The form is read part by part, and checked then.
      validatorCompiler: () => () => true,
    },
    async (request, reply) => {
      const form = await readForm(request, limits);
      const job = readEdit(form, models, additions);
      return answer(desk, job, form, links, 'image_edit', request, reply);
    },
  );
};
