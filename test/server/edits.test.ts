/** @file Edits through the official client, and forms that are refused. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as v from 'valibot';
import { type CalotypeImage, decodePng, encodePng } from '../../src/index.ts';
import { startServer } from './support.ts';

let server: Awaited<ReturnType<typeof startServer>>;
let client: OpenAI;

beforeAll(async () => {
  server = await startServer({ limits: { pixels: 128 * 128 } });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => server.close());

/** A grey picture whose left half has this alpha. */
function picture(size: number, alpha = 255): CalotypeImage {
  const data = new Uint8ClampedArray(size * size * 4).fill(128);
  for (let p = 0; p < size * size; p++) data[p * 4 + 3] = p % size < size / 2 ? alpha : 255;
  return { width: size, height: size, data };
}

const file = async (image: CalotypeImage) =>
  toFile(await encodePng(image), 'picture.png', { type: 'image/png' });
const SMALL = { steps: 2, seed: 3, prompt: 'a fox' };
/** An edit with calotype's additions, which the client passes on though its types do not know them. */
type Edit = Omit<OpenAI.ImageEditParamsNonStreaming, 'prompt'> & { readonly strength?: number };
const ask = (options: Edit) => client.images.edit({ ...SMALL, ...options });
const drawn = ({ data = [] }: OpenAI.ImagesResponse): CalotypeImage =>
  decodePng(Buffer.from(data[0].b64_json ?? '', 'base64')).image;

it('changes a picture as much as it is told', async () => {
  const image = picture(64);
  const a_bit = drawn(await ask({ image: await file(image), strength: 0.5 }));
  const wholly = drawn(await ask({ image: await file(image), strength: 1 }));
  expect([a_bit.width, a_bit.height]).toEqual([64, 64]);
  expect(a_bit.data).not.toEqual(wholly.data);
});

it('paints where the mask is transparent', async () => {
  const options = { image: await file(picture(64)), n: 2 };
  const { data = [] } = await ask({ ...options, mask: await file(picture(64, 0)) });
  expect(data).toHaveLength(2);
  const other = await ask({ ...options, mask: await file(picture(64, 255)) });
  expect(data[0].b64_json).not.toBe(other.data?.[0].b64_json);
});

/** What a form that no typed client sends is answered with. */
async function refusal(fields: Readonly<Record<string, string | File>>): Promise<[number, string | null]> {
  const body = new FormData();
  for (const [name, value] of Object.entries({ prompt: 'a fox', ...fields })) body.append(name, value);
  const response = await fetch(`${server.url}/v1/images/edits`, { method: 'POST', body });
  const { error } = v.parse(
    v.object({ error: v.object({ param: v.nullable(v.string()) }) }),
    await response.json(),
  );
  return [response.status, error.param];
}

it('refuses forms that do not fit', async () => {
  const image = await file(picture(64));
  expect(await refusal({})).toEqual([400, 'image']);
  expect(await refusal({ image, n: 'two' })).toEqual([400, 'n']);
  expect(await refusal({ image, colour: 'red' })).toEqual([400, 'colour']);
  await expect(ask({ image: await file(picture(256)) })).rejects.toMatchObject({ status: 413 });
  await expect(ask({ image: await toFile(Buffer.from('GIF89a'), 'a.gif') })).rejects.toMatchObject({
    status: 400,
    code: 'file-format',
  });
  const json = await fetch(`${server.url}/v1/images/edits`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(json.status).toBe(400);
});
