/** @file What pictures come as: formats, and addresses. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import decodeJpeg, { init } from '@jsquash/jpeg/decode.js';
import { createRequire } from 'node:module';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as v from 'valibot';
import { decodePng } from '../../src/index.ts';
import { FolderStore, PictureLinks } from '../../server/src/index.ts';
import { startServer } from './support.ts';

const pixelsSchema = v.object({
  width: v.number(),
  height: v.number(),
  data: v.instance(Uint8ClampedArray),
});

let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
let client: OpenAI;
let now = Date.now();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-links-'));
  server = await startServer({ links: new PictureLinks(new FolderStore(folder), () => now) });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const SMALL = { prompt: 'a fox', steps: 2, seed: 7 };
const draw = async (options: Partial<OpenAI.ImageGenerateParamsNonStreaming>) =>
  client.images.generate({ ...SMALL, ...options });
const bytes = (base64: string | undefined): Buffer => Buffer.from(base64 ?? '', 'base64');

it('gives JPEG and WebP files of the quality that is asked for', async () => {
  const png = decodePng(bytes((await draw({})).data?.[0].b64_json)).image;
  const fine = await draw({ output_format: 'jpeg', output_compression: 95 });
  const coarse = await draw({ output_format: 'jpeg', output_compression: 10 });
  expect([fine.output_format, coarse.output_format]).toEqual(['jpeg', 'jpeg']);
  const [large, small] = [fine, coarse].map(({ data }) => bytes(data?.[0].b64_json));
  expect(small.length).toBeLessThan(large.length / 2);
  const { resolve } = createRequire(import.meta.url);
  await init(await WebAssembly.compile(await readFile(resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'))));
  const anything: unknown = await decodeJpeg(new Uint8Array(large).buffer);
  const decoded = v.parse(pixelsSchema, anything);
  expect([decoded.width, decoded.height]).toEqual([64, 64]);
  const difference = png.data.reduce((sum, value, i) => sum + Math.abs(value - decoded.data[i]), 0);
  expect(difference / png.data.length).toBeLessThan(16);
  const webp = bytes((await draw({ output_format: 'webp' })).data?.[0].b64_json);
  expect([webp.toString('latin1', 0, 4), webp.toString('latin1', 8, 12)]).toEqual(['RIFF', 'WEBP']);
  await expect(draw({ output_compression: 50 })).rejects.toMatchObject({
    status: 400,
    param: 'output_compression',
  });
});

it('gives pictures an address that nobody can guess, for an hour', async () => {
  const { data = [] } = await draw({ response_format: 'url', output_format: 'webp' });
  const { url = '' } = data[0];
  expect(url).toMatch(/\/pictures\/\d{10}-[\w-]{32}\.webp$/);
  const picture = await fetch(url);
  expect([picture.status, picture.headers.get('content-type')]).toEqual([200, 'image/webp']);
  expect((await picture.arrayBuffer()).byteLength).toBeGreaterThan(100);
  const status = async (address: string) => (await fetch(address)).status;
  expect(await status(url.replace('.webp', '.png'))).toBe(404);
  expect(await status(url.replace(/\d{10}/, (seconds) => String(Number(seconds) + 9)))).toBe(404);
  expect(await status(`${server.url}/pictures/..%2f..%2fetc%2fpasswd`)).toBe(404);
  now += 3601 * 1000;
  expect(await status(url)).toBe(404);
  expect(await readdir(folder)).toHaveLength(1);
});

it('refuses addresses where it keeps nothing', async () => {
  const other = await startServer();
  const ask = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: 'none', maxRetries: 0 });
  await expect(ask.images.generate({ ...SMALL, response_format: 'url' })).rejects.toMatchObject({
    status: 400,
    param: 'response_format',
  });
  await other.close();
});
