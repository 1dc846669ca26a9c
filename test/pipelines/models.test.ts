/** @file Members of the Stable Diffusion family against diffusers: same seed, same latents, on every backend. */

import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  blobModelSource,
  ConfigError,
  DiffusionPipeline,
  OptionError,
  reference,
  SCHEDULERS,
  type CallOptions,
  type CalotypeImage,
  type Tensor,
} from '../../src/index.ts';
import { openNodeFile } from '../../src/platform/node-file-source.ts';
import { parseAutoencoderTinyConfig } from '../../src/loaders/configs/autoencoder-tiny.ts';
import { vaeGraphs } from '../../src/pipelines/image/vae.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { presentBackends } from '../support/backends.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import { overlaidModel } from '../support/overlay.ts';
import { arrayOf, camelCase, pictureOf } from '../support/pictures.ts';
import '../support/nmse.ts';

const caseSchema = v.looseObject({
  class: v.string(),
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  scheduler: v.optional(v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) })),
});
type Case = v.InferOutput<typeof caseSchema>;

const { models } = readFixtureJson(
  'pipelines/models.json',
  v.looseObject({
    models: v.record(v.string(), v.object({ base: v.string(), cases: v.record(v.string(), caseSchema) })),
  }),
);
const tensors = await openTensorFixture('pipelines/models.safetensors');

/** An input of the fixture as the option that it is: a picture, an array, or latents. */
function input(name: string): CalotypeImage | Tensor {
  return /^[pm]\./.test(name) ? pictureOf(tensors, name) : arrayOf(tensors, name, name.startsWith('a.'));
}

/** diffusers' keyword arguments as options of a call. */
function callOptions(spec: Case): CallOptions {
  const { class: _class, scheduler: _scheduler, image, mask_image: mask, ...rest } = spec;
  return {
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [camelCase(name), value])),
    ...(image !== undefined && { image: input(image) }),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

/** On the slow backends only the graphs that no other test has. */
function isRunOn(backend: string, model: string, name: string): boolean {
  return backend === 'cpu' || ['tiny-refiner.scores', 'tiny-upscaler.array'].includes(`${model}.${name}`);
}

const backends = await presentBackends();

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  const runs = Object.entries(models).map(([model, { base, cases }]) => ({
    model,
    base,
    cases,
    names: Object.keys(cases).filter((name) => isRunOn(backend, model, name)),
  }));

  describe.each(runs.filter(({ names }) => names.length > 0))(
    '$model',
    async ({ model, base, cases, names }) => {
      const pipe = await DiffusionPipeline.fromPretrained(await overlaidModel(model, base), {
        backends: [factory],
        dtype: 'f32',
      });
      const own = pipe.scheduler;
      afterAll(() => pipe.dispose());

      it.each(names)(
        'draws "%s" as diffusers does',
        async (name) => {
          const spec = cases[name];
          const chosen = Object.values(SCHEDULERS).find(
            ({ className }) => className === spec.scheduler?.class,
          );
          pipe.scheduler = chosen ? chosen.fromConfig({ ...own.config, ...spec.scheduler?.options }) : own;
          const { latents } = await pipe({ ...callOptions(spec), outputType: 'latent' });
          const expected = `${model}.${name}`;
          expect(latents!.shape).toEqual(tensors.shape(expected));
          expect(latents!.data).toMatchNmse(tensors.f32(expected), 1e-6);
        },
        240_000,
      );
    },
  );
});

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
