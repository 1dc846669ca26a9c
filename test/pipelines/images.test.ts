/** @file Image-to-image and inpainting against diffusers: same image, same seed, same latents, on every backend. */

import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { DiffusionPipeline, SCHEDULERS, type CallOptions, type ModelSource } from '../../src/index.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { fixturePath, openTensorFixture, readFixtureJson, STARTER } from '../support/fixtures.ts';
import { presentBackends } from '../support/backends.ts';
import { arrayOf, camelCase, pictureOf } from '../support/pictures.ts';
import '../support/nmse.ts';

const caseSchema = v.looseObject({
  task: v.picklist(['image', 'inpaint']),
  image: v.union([v.string(), v.array(v.string())]),
  mask_image: v.optional(v.string()),
  scheduler: v.optional(v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) })),
});
type Case = v.InferOutput<typeof caseSchema>;

const { models } = readFixtureJson(
  'pipelines/images.json',
  v.looseObject({ models: v.record(v.string(), v.record(v.string(), caseSchema)) }),
);
const tensors = await openTensorFixture('pipelines/images.safetensors');

/** An input of the fixture as the option that it is. */
function input(name: string | readonly string[]): NonNullable<CallOptions['image']> {
  if (typeof name !== 'string') return name.map((one) => pictureOf(tensors, one));
  return /^[pm]\./.test(name) ? pictureOf(tensors, name) : arrayOf(tensors, name, name.startsWith('a.'));
}

/** diffusers' keyword arguments as options of a call. */
function callOptions({
  task: _task,
  scheduler: _scheduler,
  image,
  mask_image: mask,
  ...rest
}: Case): CallOptions {
  return {
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [camelCase(name), value])),
    image: input(image),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

/** All cases run on the CPU; on the slow backends what the graphs or the tables differ in, and not the starter. */
function isRunOn(backend: string, model: string, name: string): boolean {
  if (backend === 'cpu') return true;
  if (model === 'starter') return false;
  return /^(picture|batch|inpaint|inpaint-(padded|sizes)|image-heun)$/.test(name);
}

/** tiny-inpaint is tiny-sd with another UNet. */
async function openFixtureModel(model: string): Promise<string | ModelSource> {
  if (model === 'starter') return STARTER;
  if (model !== 'tiny-inpaint') return fixturePath(`pipelines/${model}`);
  const all = await nodeFolderSource(fixturePath('pipelines'));
  const place = (path: string): string =>
    /^unet(\/|$)/.test(path) ? `tiny-inpaint-${path}` : `tiny-sd/${path}`;
  return {
    name: model,
    open: (path, signal) => all.open(place(path), signal),
    exists: (path, signal) => all.exists(place(path), signal),
    list: (folder, signal) => all.list(place(folder), signal),
  };
}

const backends = await presentBackends();

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  describe.each(
    Object.keys(models).filter((model) =>
      Object.keys(models[model]).some((name) => isRunOn(backend, model, name)),
    ),
  )('%s', async (model) => {
    const cases = models[model];
    const pipe = await DiffusionPipeline.fromPretrained(await openFixtureModel(model), {
      backends: [factory],
      dtype: 'f32',
    });
    const own = pipe.scheduler;
    afterAll(() => pipe.dispose());

    it.each(Object.keys(cases).filter((name) => isRunOn(backend, model, name)))(
      'draws "%s" as diffusers does',
      async (name) => {
        const { scheduler } = cases[name];
        const chosen = Object.values(SCHEDULERS).find(({ className }) => className === scheduler?.class);
        pipe.scheduler = chosen ? chosen.fromConfig({ ...own.config, ...scheduler?.options }) : own;
        const options = callOptions(cases[name]);
        const expected = `${model}.${name}`;
        if (options.paddingMaskCrop !== undefined) {
          const { images } = await pipe(options);
          const [height, width] = tensors.shape(expected);
          expect(images[0]).toMatchObject({ height, width });
          const rgb = images[0].data.filter((_, i) => i % 4 !== 3);
          expect(Float32Array.from(rgb)).toMatchNmse(tensors.f32(expected), 1e-6);
          return;
        }
        const { latents } = await pipe({ ...options, outputType: 'latent' });
        expect(latents!.shape).toEqual(tensors.shape(expected));
        expect(latents!.data).toMatchNmse(tensors.f32(expected), 1e-6);
      },
      240_000,
    );
  });
});
