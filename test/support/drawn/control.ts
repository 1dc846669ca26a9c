/** @file The cases of test/fixtures/pipelines/control.json: ControlNets. */
import * as v from 'valibot';
import { DiffusionPipeline, type CallOptions, type Tensor } from '../../../src/index.ts';
import { nodeFolderSource } from '../../../src/platform/node-file-source.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import {
  networkSchema,
  networkSource,
  singleFile,
  withNetworks,
  type NamedNetwork,
} from '../named-networks.ts';
import { arrayOf, pictureOf } from '../pictures.ts';
import {
  camelCased,
  drawTensor,
  placed,
  schedulerSchema,
  setScheduler,
  type DrawnCases,
  type Setup,
} from './drawn-cases.ts';

const namesSchema = v.union([v.string(), v.array(v.string())]);
const caseSchema = v.looseObject({
  task: v.picklist(['text', 'image', 'inpaint']),
  model: v.picklist(['sd', 'nine', 'whole', 'sdxl']),
  nets: v.array(v.string()),
  control_image: namesSchema,
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  scheduler: schedulerSchema,
});
type Case = v.InferOutput<typeof caseSchema>;

const { networks, cases } = readFixtureJson(
  'pipelines/control.json',
  v.looseObject({
    networks: v.record(v.string(), networkSchema),
    cases: v.record(v.string(), caseSchema),
  }),
);
export const controlInputs = await openTensorFixture('pipelines/images.safetensors');
const expected = await openTensorFixture('pipelines/control.safetensors');

/** A network of the fixture by its name. */
export const controlNetwork = (name: string): NamedNetwork => ({ name, ...networks[name] });

/** A model with nets beside it. */
export async function openControlled(
  model: Case['model'],
  nets: readonly NamedNetwork[],
  setup: Setup,
): Promise<DiffusionPipeline> {
  const base = await nodeFolderSource(fixturePath(`pipelines/${model === 'sdxl' ? 'tiny-sdxl' : 'tiny-sd'}`));
  const sources = await Promise.all(
    nets.map(async (net) => (net.single_file ? singleFile(net) : networkSource(net))),
  );
  return DiffusionPipeline.fromPretrained(withNetworks(base, { unet: controlNetwork(model) }), {
    controlnet: sources.length === 1 ? sources[0] : sources,
    ...placed(setup),
  });
}

/** A picture with -1 where a mask is white, which nets for inpainting take. */
function maskedArray(): Tensor {
  const picture = arrayOf(controlInputs, 'a.two', true);
  const mask = controlInputs.f32('a.masks');
  const [, height, width] = picture.shape;
  const data = picture.data.slice(0, height * width * 3);
  return {
    shape: [1, height, width, 3],
    data: data.map((value, i) => (mask[Math.floor(i / 3)] > 127 ? -1 : value)),
  };
}

function input(name: string): ReturnType<typeof pictureOf> | Tensor {
  if (name === 'c.masked') return maskedArray();
  if (name === 'c.mono') {
    const { shape, data } = arrayOf(controlInputs, 'a.masks', true);
    return { shape: [1, shape[1], shape[2], 1], data: data.subarray(0, shape[1] * shape[2]) };
  }
  return name.startsWith('a.') ? arrayOf(controlInputs, name, true) : pictureOf(controlInputs, name);
}

/** diffusers' keyword arguments as options of a call. */
function callOptions({
  task: _task,
  model: _model,
  nets: _nets,
  scheduler: _scheduler,
  image,
  mask_image: mask,
  control_image: control,
  ...rest
}: Case): CallOptions {
  return {
    ...camelCased(rest),
    controlImage: typeof control === 'string' ? input(control) : control.map(input),
    ...(image !== undefined && { image: input(image) }),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

export const controlCases: DrawnCases = {
  names: Object.keys(cases),
  expected: (name) => ({ shape: expected.shape(name), data: expected.f32(name) }),
  open: async (name, setup) => openControlled(cases[name].model, cases[name].nets.map(controlNetwork), setup),
  async draw(pipe, name) {
    setScheduler(pipe, cases[name].scheduler);
    return drawTensor(pipe, callOptions(cases[name]));
  },
};
