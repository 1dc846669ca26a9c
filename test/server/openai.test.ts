/** @file OpenAI's images API as the official client meets it. */
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodePng, readRecipe } from '../../src/index.ts';
import { startServer } from './support.ts';

let server: Awaited<ReturnType<typeof startServer>>;
let client: OpenAI;

beforeAll(async () => {
  server = await startServer();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => server.close());

/** calotype's additions, which the client passes on though its types do not know them. */
const SMALL = { steps: 2, seed: 7 };

const bytes = (base64: string | undefined): Uint8Array => Buffer.from(base64 ?? '', 'base64');

it('lists the models', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['tiny-sd']);
  await expect(client.models.retrieve('tiny-sd')).resolves.toMatchObject({ object: 'model' });
  await expect(client.models.retrieve('tiny-se')).rejects.toThrow(/404.*Did you mean tiny-sd\?/);
});

it('draws pictures, each with its own seed and recipe', async () => {
  const { data = [] } = await client.images.generate({ prompt: 'a fox', n: 2, ...SMALL });
  const pictures = data.map(({ b64_json }) => decodePng(bytes(b64_json)));
  expect(pictures.map(({ text }) => readRecipe(text))).toMatchObject([
    { prompt: 'a fox', seed: 7, numInferenceSteps: 2, width: 64, model: 'tiny-sd' },
    { prompt: 'a fox', seed: 8, numInferenceSteps: 2, width: 64, model: 'tiny-sd' },
  ]);
  expect(pictures[0].image.data).not.toEqual(pictures[1].image.data);
});

it('streams previews and then the picture', async () => {
  const stream = await client.images.generate({ prompt: 'a fox', stream: true, partial_images: 1, ...SMALL });
  const events = [];
  for await (const event of stream) events.push(event);
  expect(events.map(({ type }) => type)).toEqual([
    'image_generation.partial_image',
    'image_generation.completed',
  ]);
  const [preview, picture] = events.map(({ b64_json }) => decodePng(bytes(b64_json)).image);
  expect([preview.width, picture.width]).toEqual([8, 64]);
});

it('takes what has no effect here, and says so', async () => {
  const answer = await client.images.generate({
    prompt: 'a fox',
    quality: 'high',
    style: 'vivid',
    moderation: 'low',
    user: 'me',
    ...SMALL,
  });
  expect(answer).toMatchObject({ notices: ['quality has no effect here', 'style has no effect here'] });
});

it('answers errors in the form that the client reads', async () => {
  const ask = (options: object) => client.images.generate({ prompt: 'a fox', ...SMALL, ...options });
  await expect(ask({ size: '60x64' })).rejects.toMatchObject({ status: 400, code: 'option', param: 'width' });
  await expect(ask({ model: 'x' })).rejects.toMatchObject({ status: 404, code: 'not-found', param: 'model' });
  await expect(ask({ steps: 1000 })).rejects.toMatchObject({ status: 400, param: 'steps' });
  await expect(ask({ size: '4096x4096' })).rejects.toMatchObject({ status: 400, param: 'size' });
  await expect(ask({ colour: 'red' })).rejects.toMatchObject({ status: 400, code: 'request' });
  await expect(ask({ background: 'transparent' })).rejects.toMatchObject({ status: 400 });
  await expect(ask({ stream: true, scheduler: 'x' })).rejects.toMatchObject({ status: 400 });
});
