/** @file stable-diffusion-webui's API, asked as its clients ask: all fields of their version, most of them at rest. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  cpu,
  decodePng,
  DiffusionPipeline,
  encodePng,
  EulerAncestralDiscreteScheduler,
  parseWebuiParameters,
} from '../../src/index.ts';
import { MODELS, startServer } from './support.ts';

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

async function ask(path: string, body?: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${server.url}/sdapi/v1${path}`, {
    ...(body && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  return { status: response.status, body: await response.json() };
}

const resultSchema = v.object({ images: v.array(v.string()), parameters: v.unknown(), info: v.string() });
const infoSchema = v.object({
  all_seeds: v.array(v.number()),
  infotexts: v.array(v.string()),
  notices: v.array(v.string()),
});

async function draw(path: string, options: object) {
  const { status, body } = await ask(path, { ...CLIENT, ...options });
  expect(status, JSON.stringify(body)).toBe(200);
  const { images, info } = v.parse(resultSchema, body);
  const files = images.map((base64) => decodePng(Buffer.from(base64, 'base64')));
  return { files, info: v.parse(infoSchema, JSON.parse(info)) };
}

/** What webuiapi 0.9 sends with every request. */
const CLIENT = {
  prompt: 'a (fox:1.2)',
  negative_prompt: 'blue',
  seed: 5,
  subseed: -1,
  subseed_strength: 0,
  seed_resize_from_h: 0,
  seed_resize_from_w: 0,
  sampler_name: 'Euler a',
  sampler_index: 'Euler a',
  scheduler: 'automatic',
  batch_size: 1,
  n_iter: 1,
  steps: 2,
  cfg_scale: 7,
  width: 64,
  height: 64,
  restore_faces: false,
  tiling: false,
  do_not_save_samples: false,
  do_not_save_grid: false,
  eta: 1,
  s_churn: 0,
  s_tmax: 0,
  s_tmin: 0,
  s_noise: 1,
  styles: [],
  override_settings: {},
  override_settings_restore_afterwards: true,
  script_name: null,
  script_args: [],
  send_images: true,
  save_images: false,
  alwayson_scripts: { ADetailer: { args: [false] } },
};
const HIRES_OFF = { enable_hr: false, hr_scale: 2, hr_upscaler: 'Latent', denoising_strength: 0.7 };

it('draws, and describes pictures as stable-diffusion-webui does', async () => {
  const { files, info } = await draw('/txt2img', { ...HIRES_OFF, n_iter: 2 });
  const texts = files.map(({ text }) => text.get('parameters') ?? '');
  expect(info).toMatchObject({ all_seeds: [5, 6], infotexts: texts, notices: [] });
  const { prompt, negativePrompt, settings } = parseWebuiParameters(texts[1]);
  expect([prompt, negativePrompt]).toEqual(['a (fox:1.2)', 'blue']);
  expect(Object.fromEntries(settings)).toMatchObject({
    Steps: '2',
    Sampler: 'Euler a',
    'CFG scale': '7',
    Seed: '6',
    Size: '64x64',
    Model: 'tiny-sd',
  });
  const { body } = await ask('/png-info', {
    image: Buffer.from(await encodePng(files[0].image, { text: { parameters: texts[0] } })).toString(
      'base64',
    ),
  });
  expect(body).toMatchObject({ info: texts[0], items: { parameters: texts[0] } });
});

it('changes a picture, and paints into one', async () => {
  const data = new Uint8ClampedArray(64 * 64 * 4).fill(255);
  const image = Buffer.from(await encodePng({ width: 64, height: 64, data })).toString('base64');
  const options = {
    init_images: [`data:image/png;base64,${image}`],
    denoising_strength: 0.6,
    resize_mode: 0,
  };
  const changed = await draw('/img2img', options);
  expect(changed.files[0].text.get('parameters')).toContain('Denoising strength: 0.6');
  const painted = await draw('/img2img', { ...options, mask: image, mask_blur: 4, inpainting_fill: 1 });
  expect(painted.info.notices).toEqual(['mask_blur has no effect here']);
  const url = await ask('/img2img', { ...CLIENT, init_images: ['http://example.com/a.png'] });
  expect(url).toMatchObject({ status: 400, body: { error: 'option' } });
});

it('draws over a larger picture, and says so as stable-diffusion-webui does', async () => {
  const hires = { enable_hr: true, hr_scale: 1.5, hr_second_pass_steps: 3, denoising_strength: 0.6 };
  const { files } = await draw('/txt2img', { ...hires, hr_upscaler: 'Latent (nearest)', hr_resize_x: 0 });
  expect([files[0].image.width, files[0].image.height]).toEqual([96, 96]);
  expect(files[0].text.get('parameters')).toMatch(
    /Seed: 5, Size: 64x64, Model: tiny-sd, Denoising strength: 0.6, Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Latent \(nearest\), Version: /,
  );
  const again = await DiffusionPipeline.fromPretrained(MODELS[0].source, { backends: [cpu({ threads: 2 })] });
  again.scheduler = EulerAncestralDiscreteScheduler.fromConfig(again.scheduler.config);
  const { images } = await again({
    prompt: ['a (fox:1.2)'],
    negativePrompt: ['blue'],
    promptSyntax: 'webui',
    seed: [{ seed: 5, device: 'cuda' }],
    numInferenceSteps: 2,
    guidanceScale: 7,
    width: 64,
    height: 64,
    // Of 5 steps, 3 are run.
    hires: { scale: 1.5, upscaler: 'latent-nearest', numInferenceSteps: 5, strength: 0.7 },
  });
  await again.dispose();
  expect(files[0].image.data).toEqual(images[0].data);
});

it('is asked what clients ask when they start, and given back its own options', async () => {
  expect((await ask('/upscalers')).body).toMatchObject([{ name: 'Lanczos' }]);
  expect((await ask('/latent-upscale-modes')).body).toContainEqual({ name: 'Latent (bicubic)' });
  for (const route of ['sd-vae', 'prompt-styles', 'embeddings', 'cmd-flags', 'memory', 'extensions'])
    expect((await ask(`/${route}`)).status, route).toBe(200);
  const { body: options } = await ask('/options');
  const again = { ...(options as object), sd_model_checkpoint: 'tiny-sd.safetensors [0123abcd]' };
  expect((await ask('/options', again)).status).toBe(200);
  const { files } = await draw('/txt2img', { override_settings: { sd_vae: 'Automatic' } });
  expect(files).toHaveLength(1);
  await expect(ask('/extra-single-image', { image: '' })).resolves.toMatchObject({
    status: 400,
    body: { error: 'option' },
  });
});

it('tells progress, and stops', async () => {
  const drawing = draw('/txt2img', { steps: 150 });
  const state = async () => (await ask('/progress')).body;
  await expect
    .poll(state, { interval: 20, timeout: 20_000 })
    .toMatchObject({ state: { sampling_steps: 150 } });
  await expect
    .poll(
      async () => v.parse(v.object({ current_image: v.nullable(v.string()) }), await state()).current_image,
      {
        timeout: 20_000,
      },
    )
    .toMatch(/^iVBOR/);
  await ask('/interrupt', {});
  const { files, info } = await drawing;
  expect(files).toEqual([]);
  expect(info.notices).toEqual(['the job was interrupted']);
  await expect(state()).resolves.toMatchObject({ progress: 0, state: { job_count: 0 } });
});

it('lists what there is, and keeps options', async () => {
  expect((await ask('/sd-models')).body).toMatchObject([{ title: 'tiny-sd' }]);
  expect((await ask('/samplers')).body).toContainEqual(expect.objectContaining({ name: 'DPM++ 2M SDE' }));
  expect((await ask('/schedulers')).body).toContainEqual(expect.objectContaining({ label: 'Karras' }));
  expect((await ask('/loras')).body).toEqual([]);
  await ask('/options', { CLIP_stop_at_last_layers: 2 });
  expect((await ask('/options')).body).toMatchObject({ CLIP_stop_at_last_layers: 2, randn_source: 'GPU' });
  const { files } = await draw('/txt2img', {});
  expect(files[0].text.get('parameters')).toContain('Clip skip: 2');
});

it.each([
  [{ enable_hr: true, hr_upscaler: 'R-ESRGAN 4x+' }, 'Lanczos'],
  [{ enable_hr: true, hr_prompt: 'a cat' }, 'hr_prompt'],
  [{ enable_hr: true, hr_scale: 16, width: 4096, height: 4096 }, 'size'],
  [{ override_settings: { sd_vae: 'x.vae.pt' } }, 'sd_vae'],
  [{ alwayson_scripts: { ADetailer: { args: [true] } } }, 'alwayson_scripts'],
  [{ sampler_name: 'Restart' }, 'sampler_name'],
  [{ override_settings: { colour: 'x' } }, 'override_settings'],
  [{ steps: 0 }, 'steps'],
  [{ prompt: 'a <lora:none:1> fox' }, 'LoRA'],
])('refuses %j', async (options, word) => {
  const { status, body } = await ask('/txt2img', { ...CLIENT, ...options });
  expect(status).toBe(400);
  expect(JSON.stringify(body)).toContain(word);
});
