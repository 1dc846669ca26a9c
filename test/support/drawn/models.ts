/** @file The cases of test/fixtures/pipelines/models.json: members of the Stable Diffusion family. */
import * as v from 'valibot';
import { DiffusionPipeline, type CallOptions, type CalotypeImage, type Tensor } from '../../../src/index.ts';
import { openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { overlaidModel } from '../overlay.ts';
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
  class: v.string(),
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  scheduler: schedulerSchema,
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
    ...camelCased(rest),
    ...(image !== undefined && { image: input(image) }),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

/** `MODEL.CASE` */
export const modelCases: DrawnCases = {
  names: Object.entries(models).flatMap(([model, { cases }]) =>
    Object.keys(cases).map((name) => `${model}.${name}`),
  ),
  expected: (name) => ({ shape: tensors.shape(name), data: tensors.f32(name) }),
  async open(name, setup) {
    const model = name.split('.')[0];
    const source = await overlaidModel(model, models[model].base);
    return DiffusionPipeline.fromPretrained(source, placed(setup));
  },
  async draw(pipe, name) {
    const [model, own] = name.split('.');
    const spec = models[model].cases[own];
    setScheduler(pipe, spec.scheduler);
    return drawTensor(pipe, callOptions(spec));
  },
};
