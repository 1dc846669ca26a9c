/** @file The cases of test/fixtures/pipelines/images.json: image to image and inpainting. */
import * as v from 'valibot';
import { DiffusionPipeline, type CallOptions, type ModelSource } from '../../../src/index.ts';
import { nodeFolderSource } from '../../../src/platform/node-file-source.ts';
import { fixturePath, openTensorFixture, readFixtureJson, STARTER } from '../fixtures.ts';
import { arrayOf, pictureOf } from '../pictures.ts';
import {
  camelCased,
  drawTensor,
  placed,
  schedulerSchema,
  setScheduler,
  type DrawnCases,
} from './drawn-cases.ts';

const caseSchema = v.looseObject({
  task: v.picklist(['image', 'inpaint']),
  image: v.union([v.string(), v.array(v.string())]),
  mask_image: v.optional(v.string()),
  scheduler: schedulerSchema,
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

function callOptions({
  task: _task,
  scheduler: _scheduler,
  image,
  mask_image: mask,
  ...rest
}: Case): CallOptions {
  return {
    ...camelCased(rest),
    image: input(image),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

/** tiny-inpaint is tiny-sd with another UNet. */
async function openModel(model: string): Promise<string | ModelSource> {
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

/** `MODEL.CASE` */
export const imageCases: DrawnCases = {
  names: Object.entries(models).flatMap(([model, cases]) =>
    Object.keys(cases).map((name) => `${model}.${name}`),
  ),
  expected: (name) => ({ shape: tensors.shape(name), data: tensors.f32(name) }),
  open: async (name, setup) =>
    DiffusionPipeline.fromPretrained(await openModel(name.split('.')[0]), placed(setup)),
  async draw(pipe, name) {
    const [model, ...rest] = name.split('.');
    const spec = models[model][rest.join('.')];
    setScheduler(pipe, spec.scheduler);
    return drawTensor(pipe, callOptions(spec));
  },
};
