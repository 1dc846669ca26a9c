/** @file ControlNets and IP-Adapters in requests: the pictures that the pipeline draws with them, and what is refused. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  type CallOptions,
  type CalotypeImage,
  cpu,
  decodePng,
  DiffusionPipeline,
  encodePng,
  EulerDiscreteScheduler,
} from '../../src/index.ts';
import { type Controlled, writeControlled } from './controlled.ts';
import { localRunner, startServer } from './support.ts';

const SIZE = { width: 64, height: 64 };
let offered: Controlled;
let server: Awaited<ReturnType<typeof startServer>>;
let pipe: DiffusionPipeline;
const picture: CalotypeImage = {
  ...SIZE,
  data: Uint8ClampedArray.from({ length: 64 * 64 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 7) % 256)),
};
let png = '';

beforeAll(async () => {
  offered = await writeControlled();
  const { models, controlnets, ipAdapters } = offered;
  server = await startServer({
    models,
    controlnets,
    ipAdapters,
    runners: [localRunner({ models, controlnets, ipAdapters })],
    limits: { pixels: 64 * 64 },
  });
  png = Buffer.from(await encodePng(picture)).toString('base64');
  pipe = await DiffusionPipeline.fromPretrained(models[0].source, {
    controlnet: controlnets.map(({ source }) => source),
    backends: [cpu({ threads: 2 })],
  });
  pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config);
  await pipe.loadIpAdapter(ipAdapters[0].source, { weightName: ipAdapters.map((one) => one.weightName) });
});
afterAll(async () => {
  await server.close();
  await pipe.dispose();
  await offered.remove();
});

async function ask(path: string, body?: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${server.url}${path}`, {
    ...(body && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  return { status: response.status, body: await response.json() };
}

const imagesSchema = v.union([
  v.object({ images: v.array(v.string()) }),
  v.object({ data: v.array(v.object({ b64_json: v.string() })) }),
]);

/** Draws by a request; gives the pixels. */
async function asked(path: string, options: object): Promise<Uint8ClampedArray> {
  const { status, body } = await ask(path, options);
  expect(status, JSON.stringify(body).slice(0, 500)).toBe(200);
  const answer = v.parse(imagesSchema, body);
  const base64 = 'data' in answer ? answer.data[0].b64_json : answer.images[0];
  return decodePng(Buffer.from(base64, 'base64')).image.data;
}

/** Draws by the pipeline itself. */
async function drawn(options: CallOptions, scales = [1, 1]): Promise<Uint8ClampedArray> {
  pipe.setIpAdapterScale(scales);
  const { images } = await pipe({
    prompt: ['a fox'],
    numInferenceSteps: 3,
    guidanceScale: 4,
    ...SIZE,
    ipAdapterImage: [null, null],
    ...options,
  });
  return images[0].data;
}

const WEBUI = {
  prompt: 'a fox',
  seed: 5,
  steps: 3,
  cfg_scale: 4,
  sampler_name: 'Euler',
  override_settings: { randn_source: 'CPU' },
  ...SIZE,
};
const txt2img = async (...args: object[]) =>
  asked('/sdapi/v1/txt2img', { ...WEBUI, alwayson_scripts: { ControlNet: { args } } });
const LIKE_WEBUI = { promptSyntax: 'webui', seed: [5], negativePrompt: [''] } as const;
const OPENAI = { prompt: 'a fox', seed: 5, steps: 3, guidance_scale: 4, scheduler: 'euler', size: '64x64' };

it('draws what the pipeline draws with the ControlNets that a unit names', async () => {
  const plain = await drawn(LIKE_WEBUI);
  const unit = { model: 'canny', module: 'none', image: png, weight: 0.6, guidance_end: 0.7 };
  const one = await txt2img(unit);
  expect(one).toEqual(
    await drawn({
      ...LIKE_WEBUI,
      controlImage: [picture, null],
      controlnetConditioningScale: [0.6, 1],
      controlGuidanceEnd: [0.7, 1],
    }),
  );
  expect(one).not.toEqual(plain);
  const mode = { control_mode: 'ControlNet is more important' };
  const both = await txt2img({ ...unit, ...mode }, { model: 'shuffle [0123abcd]', image: png, ...mode });
  expect(both).toEqual(
    await drawn({
      ...LIKE_WEBUI,
      controlImage: [picture, picture],
      controlnetConditioningScale: [0.6, 1],
      controlGuidanceEnd: [0.7, 1],
      guessMode: true,
    }),
  );
  // As if none were there.
  expect(await txt2img({ ...unit, enabled: false })).toEqual(plain);
});

it('takes the picture of img2img where a unit has none', async () => {
  const changed = await asked('/sdapi/v1/img2img', {
    ...WEBUI,
    init_images: [png],
    denoising_strength: 0.8,
    alwayson_scripts: { controlnet: { args: [{ model: 'canny' }] } },
  });
  expect(changed).toEqual(
    await drawn({
      ...LIKE_WEBUI,
      image: picture,
      strength: 0.8,
      controlImage: [picture, null],
      controlnetConditioningScale: [1, 1],
    }),
  );
});

it('draws with IP-Adapters, beside ControlNets, and without them again', async () => {
  const before = await asked('/v1/images/generations', OPENAI);
  const prompted = await txt2img({ model: 'plus', module: 'ip-adapter-auto', image: png, weight: 0.5 });
  expect(prompted).toEqual(await drawn({ ...LIKE_WEBUI, ipAdapterImage: [null, picture] }, [1, 0.5]));
  const both = await asked('/v1/images/generations', {
    ...OPENAI,
    controlnet: [{ name: 'shuffle', image: png, scale: 0.7, start: 0.2 }],
    ip_adapter: [{ name: 'face', image: png }],
  });
  expect(both).toEqual(
    await drawn({
      seed: [5],
      controlImage: [null, picture],
      controlnetConditioningScale: [1, 0.7],
      controlGuidanceStart: [0, 0.2],
      ipAdapterImage: [picture, null],
    }),
  );
  expect(await asked('/v1/images/generations', OPENAI)).toEqual(before);
});

it('takes them in the form of an edit, as JSON', async () => {
  const form = new FormData();
  form.append('image', new Blob([Buffer.from(png, 'base64')], { type: 'image/png' }), 'a.png');
  form.append('controlnet', JSON.stringify([{ name: 'canny', image: png }]));
  for (const [name, value] of Object.entries(OPENAI)) form.append(name, String(value));
  const response = await fetch(`${server.url}/v1/images/edits`, { method: 'POST', body: form });
  const body: unknown = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  form.set('controlnet', '{');
  const refused = await fetch(`${server.url}/v1/images/edits`, { method: 'POST', body: form });
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('is not JSON')]);
});

it('lists them as the extension does', async () => {
  expect((await ask('/controlnet/model_list')).body).toEqual({
    model_list: ['canny', 'shuffle', 'face', 'plus'],
  });
  expect((await ask('/controlnet/version')).body).toEqual({ version: 3 });
  expect((await ask('/controlnet/module_list?alias_names=false')).body).toMatchObject({
    module_list: ['none', 'ip-adapter-auto'],
  });
  expect((await ask('/controlnet/settings')).body).toEqual({ control_net_unit_count: 4 });
});

it.each<[unit: object, message: RegExp]>([
  [{ module: 'canny' }, /preprocessor 'canny'.*with the module 'none'/],
  [{ model: 'depth' }, /no ControlNet 'depth'.*canny, shuffle/],
  [{ model: 'face' }, /no ControlNet 'face'/],
  [{ model: 'canny', module: 'ip-adapter-auto' }, /no IP-Adapter 'canny'/],
  [{ image: '' }, /image.*is missing/],
  [{ image: 'http://example.com/a.png' }, /URLs are not followed/],
  [{ image: 'AAAA' }, /control_image.*not a PNG/],
  [{ image: 'wide' }, /other proportions than 64x64/],
  [{ image: 'large' }, /128x128 pixels/],
  [{ control_mode: 1 }, /control_mode.*Balanced/],
  [{ guidance_start: 0.5, guidance_end: 0.5 }, /no part of the steps/],
  [{ weight: 'much' }, /controlnet\.weight/],
  [{ mask: 'AAAA' }, /controlnet\.mask/],
  [{ unheard: 1 }, /controlnet\.unheard/],
])('refuses a unit with %j', async (unit, message) => {
  const blank = async (width: number, height: number) =>
    Buffer.from(await encodePng({ width, height, data: new Uint8ClampedArray(width * height * 4) })).toString(
      'base64',
    );
  const images: Record<string, string> = { wide: await blank(64, 32), large: await blank(128, 128) };
  const { image = png, ...rest } = unit as { readonly image?: string };
  const args = [{ model: 'canny', ...rest, image: images[image] ?? image }];
  const { status, body } = await ask('/sdapi/v1/txt2img', {
    ...WEBUI,
    alwayson_scripts: { controlnet: { args } },
  });
  expect(status).toBeLessThan(500);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(JSON.stringify(body)).toMatch(message);
});

it('refuses a net that is named twice, and modes that differ', async () => {
  const units = (...args: object[]) =>
    ask('/sdapi/v1/txt2img', { ...WEBUI, alwayson_scripts: { controlnet: { args } } });
  const unit = { model: 'canny', image: png };
  expect(await units(unit, unit)).toMatchObject({ status: 400, body: { detail: /there twice/ } });
  expect(await units(unit, { ...unit, model: 'shuffle', control_mode: 2 })).toMatchObject({ status: 400 });
  expect(await ask('/v1/images/generations', { ...OPENAI, guess_mode: true })).toMatchObject({ status: 400 });
});
