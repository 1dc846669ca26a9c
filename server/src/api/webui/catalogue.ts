/**
 * @file What clients of stable-diffusion-webui ask for when they start, of which there is little here; and what it does
 * beside drawing, which is refused.
 */
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { OptionError } from 'calotype';
import { LATENT_UPSCALERS } from './hires.ts';
import { errorSchema } from './schemas.ts';

/** Lists and objects that are empty, by route. */
const EMPTY: Readonly<Record<string, object>> = {
  'sd-vae': [],
  hypernetworks: [],
  'face-restorers': [],
  'realesrgan-models': [],
  'prompt-styles': [],
  'script-info': [],
  extensions: [],
  embeddings: { loaded: {}, skipped: {} },
  'cmd-flags': {},
  memory: { ram: {}, cuda: {} },
};
/** What there is nothing to do for. */
const DONE = [
  'refresh-checkpoints',
  'refresh-loras',
  'refresh-vae',
  'unload-checkpoint',
  'reload-checkpoint',
];
const REFUSED = ['extra-single-image', 'extra-batch-images', 'interrogate'];

/** Those routes. */
export const catalogueApi: FastifyPluginAsyncTypebox = async (app) => {
  const errors = { '4xx': errorSchema, '5xx': errorSchema };
  for (const [route, answer] of Object.entries(EMPTY))
    app.get(`/${route}`, { schema: { summary: 'There are none' } }, async () => answer);
  for (const route of DONE)
    app.post(
      `/${route}`,
      { schema: { summary: 'Does nothing', response: { 200: Type.Object({}), ...errors } } },
      async () => ({}),
    );
  for (const route of REFUSED)
    app.post(`/${route}`, { schema: { summary: 'Refused', response: errors } }, async () => {
      throw new OptionError('is not supported by this server', {
        field: route,
        remedy: 'It draws pictures, with txt2img and img2img; enlarge them with enable_hr',
      });
    });
  app.get('/upscalers', { schema: { summary: 'Of pictures, for hr_upscaler' } }, async () => [
    { name: 'Lanczos', model_name: null, model_path: null, model_url: null, scale: 4 },
  ]);
  app.get('/latent-upscale-modes', { schema: { summary: 'Of latents, for hr_upscaler' } }, async () =>
    LATENT_UPSCALERS.map((name) => ({ name })),
  );
};
