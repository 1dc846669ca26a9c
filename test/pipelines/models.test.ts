/** @file Members of the Stable Diffusion family against diffusers: same seed, same latents, on every backend. */

import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  blobModelSource,
  blobSource,
  ConfigError,
  DDIMScheduler,
  DiffusionPipeline,
  OptionError,
  reference,
} from '../../src/index.ts';
import { TINY_VAE } from '../../src/pipelines/image/tiny-vae-part.ts';
import { vaeGraphs } from '../../src/pipelines/image/vae.ts';
import { openNodeFile } from '../../src/platform/node-file-source.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { presentBackends } from '../support/backends.ts';
import { modelCases } from '../support/drawn/models.ts';
import { testModels } from '../support/drawn/test-drawn.ts';
import { fixturePath, readFixtureJson } from '../support/fixtures.ts';
import { overlaidModel } from '../support/overlay.ts';

/** On the slow backends only what no other test has. */
const SLOW: Readonly<Record<string, RegExp>> = {
  reference: /^tiny-(refiner\.scores|upscaler\.array)$/,
  webgpu: /^tiny-(refiner\.scores|upscaler\.array|lcm\.guidance)$/,
};

testModels(
  await presentBackends(),
  modelCases,
  (backend, model, name) => SLOW[backend]?.test(`${model}.${name}`) ?? true,
);

describe('refusing', async () => {
  const load = async (model: string, base: string) =>
    DiffusionPipeline.fromPretrained(await overlaidModel(model, base), { backends: [reference()] });
  const xl = await load('tiny-sdxl', 'tiny-sdxl');
  const refiner = await load('tiny-refiner', 'tiny-sdxl');
  const lcm = await load('tiny-lcm', 'tiny-sd');
  afterAll(async () => {
    for (const pipe of [xl, refiner, lcm]) await pipe.dispose();
  });
  const image = { shape: [1, 4, 8, 8], data: new Float32Array(256) };

  it.each([
    ['image', refiner, {}, /refines pictures/],
    ['denoisingStart', xl, { denoisingStart: 0.5 }, /without an image/],
    ['denoisingStart', xl, { denoisingStart: 0.5, denoisingEnd: 0.5, image }, /not before denoisingEnd/],
    ['denoisingEnd', xl, { denoisingEnd: 1.5 }, /from 0 to 1/],
    ['aestheticScore', xl, { aestheticScore: 6 }, /no such option/],
    ['negativePrompt', lcm, { negativePrompt: 'flat' }, /no such option/],
    [
      'maskImage',
      lcm,
      { image, maskImage: { shape: [1, 64, 64], data: new Float32Array(4096) } },
      /no such task/,
    ],
    ['numInferenceSteps', lcm, { numInferenceSteps: 9, originalInferenceSteps: 8 }, /grid of 8/],
  ])('%s', async (field, pipe, options, message) => {
    const run = pipe({ prompt: 'fox', height: 64, width: 64, ...options });
    await expect(run).rejects.toBeInstanceOf(OptionError);
    await expect(run).rejects.toMatchObject({ field });
    await expect(run).rejects.toThrow(message);
  });

  it('another scheduler for a latent consistency model', async () => {
    const own = lcm.scheduler;
    lcm.scheduler = xl.scheduler;
    await expect(lcm({ prompt: 'fox' })).rejects.toThrow(/LCMScheduler alone/);
    lcm.scheduler = own;
  });

  it('what the upscaler cannot do', async () => {
    const pipe = await load('tiny-upscaler', 'tiny-sd');
    const call = { prompt: 'fox', image: { shape: [1, 8, 8, 3], data: new Float32Array(192) } };
    await expect(pipe({ prompt: 'fox' })).rejects.toThrow(/upscales pictures/);
    await expect(pipe({ ...call, image })).rejects.toMatchObject({ field: 'image' });
    await expect(pipe({ ...call, height: 64 })).rejects.toMatchObject({ field: 'height' });
    await expect(pipe({ ...call, noiseLevel: 71 })).rejects.toThrow(/from 0 to 70/);
    await expect(pipe({ ...call, prompt: ['fox', 'apple'] })).rejects.toThrow(/1 of them for 2 prompts/);
    await pipe.dispose();
  });

  it('a VAE of other latents', async () => {
    const json = {
      ...readFixtureJson('models/autoencoder-tiny/config.json', v.looseObject({})),
      latent_channels: 16,
    };
    const { parseAutoencoderTinyConfig } = await TINY_VAE.load();
    const { encoder, decoder } = vaeGraphs({
      className: 'AutoencoderTiny',
      config: parseAutoencoderTinyConfig(json, { file: 'config.json' }),
    });
    const parts = [encoder, decoder].flatMap(({ weights }) => weights.flatMap((weight) => weight.parts));
    const weights = makeSafetensors(Object.fromEntries(parts.map(({ name, shape }) => [name, { shape }])));
    const vae = blobModelSource(
      'taesd3',
      new Map([
        ['config.json', new Blob([JSON.stringify(json)])],
        ['diffusion_pytorch_model.safetensors', new Blob([Uint8Array.from(weights)])],
      ]),
    );
    await expect(
      DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), { backends: [reference()], vae }),
    ).rejects.toThrow(/latents of 16 channels are not the denoiser's 4/);
  });

  it.each([
    ['an unknown prediction_type', { _class_name: 'EulerDiscreteScheduler', prediction_type: 'flow' }],
    ['a class that is not there', { _class_name: 'EDMEulerScheduler', steps_offset: 0 }],
  ])("%s of the model's own scheduler, once it is used", async (_what, config) => {
    const folder = await overlaidModel('tiny-sd', 'tiny-sd');
    const file = new Blob([JSON.stringify(config)]);
    const open: typeof folder.open = async (path, signal) =>
      path === 'scheduler/scheduler_config.json' ? blobSource(path, file) : folder.open(path, signal);
    const pipe = await DiffusionPipeline.fromPretrained({ ...folder, open }, { backends: [reference()] });
    expect(pipe.notices.join()).toMatch(/own scheduler cannot be used\..*scheduler_config\.json/);
    const call = {
      prompt: 'fox',
      height: 64,
      width: 64,
      numInferenceSteps: 1,
      outputType: 'latent',
    } as const;
    await expect(pipe(call)).rejects.toThrow(ConfigError);
    expect(pipe.scheduler.config).toMatchObject({ ...config, steps_offset: 1 });
    pipe.scheduler = DDIMScheduler.fromConfig(pipe.scheduler.config, { predictionType: 'epsilon' });
    expect((await pipe(call)).latents!.data.every(Number.isFinite)).toBe(true);
    await pipe.dispose();
  });

  it('a scheduler file that is no configuration', async () => {
    const folder = await overlaidModel('tiny-sd', 'tiny-sd');
    const open: typeof folder.open = async (path, signal) =>
      path === 'scheduler/scheduler_config.json'
        ? blobSource(path, new Blob(['[]']))
        : folder.open(path, signal);
    await expect(
      DiffusionPipeline.fromPretrained({ ...folder, open }, { backends: [reference()] }),
    ).rejects.toThrow(ConfigError);
  });

  it('a refiner without its score', async () => {
    const model = await overlaidModel('tiny-refiner', 'tiny-sdxl');
    const index = fixturePath('pipelines/tiny-sdxl/model_index.json');
    const open: typeof model.open = async (path, signal) =>
      path === 'model_index.json' ? openNodeFile(index) : model.open(path, signal);
    await expect(
      DiffusionPipeline.fromPretrained({ ...model, open }, { backends: [reference()] }),
    ).rejects.toThrow(ConfigError);
  });
});
