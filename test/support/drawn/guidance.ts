/** @file The cases of test/fixtures/pipelines/guidance.json: IP-Adapters, perturbed attention, FreeU, hires fix, DeepCache. */
import * as v from 'valibot';
import {
  DiffusionPipeline,
  type CallOptions,
  type IpAdapterScale,
  type ModelSource,
  type Tensor,
} from '../../../src/index.ts';
import { bufferSource } from '../../../src/loaders/byte-source.ts';
import { nodeFolderSource } from '../../../src/platform/node-file-source.ts';
import { makeSafetensors } from '../../loaders/make-safetensors.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../fixtures.ts';
import { type NamedNetwork, networkSchema, networkSource, withNetworks } from '../named-networks.ts';
import { namedWeights } from '../named-weights.ts';
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

const namesSchema = v.array(v.union([v.string(), v.array(v.string())]));
const caseSchema = v.looseObject({
  task: v.picklist(['text', 'image', 'inpaint']),
  model: v.picklist(['sd', 'nine', 'midless', 'sdxl']),
  nets: v.optional(v.array(v.string()), []),
  control_image: v.optional(v.string()),
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  adapters: v.optional(v.array(v.string()), []),
  ip_adapter_scale: v.optional(v.custom<IpAdapterScale | IpAdapterScale[]>(() => true)),
  ip_adapter_image: v.optional(v.nullable(namesSchema)),
  ip_adapter_masks: v.optional(namesSchema),
  ip_adapter_image_embeds: v.optional(v.array(v.array(v.number()))),
  pag: v.optional(v.object({ pag_applied_layers: v.optional(v.union([v.string(), v.array(v.string())])) })),
  hires: v.optional(v.record(v.string(), v.unknown())),
  freeu: v.optional(v.object({ s1: v.number(), s2: v.number(), b1: v.number(), b2: v.number() })),
  scheduler: schedulerSchema,
});
type Case = v.InferOutput<typeof caseSchema>;

const networksSchema = v.looseObject({ networks: v.record(v.string(), networkSchema) });
const own = readFixtureJson(
  'pipelines/guidance.json',
  v.intersect([networksSchema, v.looseObject({ cases: v.record(v.string(), caseSchema) })]),
);
const { cases } = own;
const networks = { ...readFixtureJson('pipelines/control.json', networksSchema).networks, ...own.networks };
export const guidanceInputs = await openTensorFixture('pipelines/images.safetensors');
const expected = await openTensorFixture('pipelines/guidance.safetensors');

/** A network of the fixtures by its name. */
export const network = (name: string): NamedNetwork => ({ name, ...networks[name] });

/** A model with nets beside it. */
export async function openGuided(
  model: Case['model'],
  nets: readonly string[],
  setup: Setup,
): Promise<DiffusionPipeline> {
  const base = await nodeFolderSource(fixturePath(`pipelines/${model === 'sdxl' ? 'tiny-sdxl' : 'tiny-sd'}`));
  return DiffusionPipeline.fromPretrained(withNetworks(base, { unet: network(model) }), {
    ...(nets.length > 0 && { controlnet: nets.map((net) => networkSource(network(net))) }),
    ...placed(setup),
  });
}

/** The file of an adapter; `changed` tensors have other shapes, or are left out. */
export async function adapterFile(
  name: string,
  changed: Readonly<Record<string, readonly number[] | null>> = {},
): Promise<Uint8Array> {
  const shapes = Object.fromEntries(
    Object.entries<readonly number[] | null>({ ...networks[name].shapes, ...changed }).flatMap(
      ([tensor, shape]) => (shape ? [[tensor, shape]] : []),
    ),
  );
  const weights = namedWeights(shapes, `${name}/`);
  const tensors = Object.keys(shapes).map(async (tensor) => {
    const data = await weights.read(tensor);
    return [tensor, { shape: shapes[tensor], data }] as const;
  });
  return makeSafetensors(Object.fromEntries(await Promise.all(tensors)));
}

/** A folder `models` of adapters and their image encoder. */
export function adapterFolder(files: Readonly<Record<string, Uint8Array>>): ModelSource {
  const folder: ModelSource = {
    name: 'adapters',
    open: async (path) => Promise.resolve(path in files ? bufferSource(path, files[path]) : undefined),
    exists: async (path) => Promise.resolve(path in files),
    list: async () => Promise.resolve(Object.keys(files).map((path) => path.replace('models/', ''))),
  };
  return withNetworks(folder, { 'models/image_encoder': network('vision') });
}

/** Loads adapters of the fixture, with their image encoder. */
export async function loadAdapters(pipe: DiffusionPipeline, names: readonly string[]): Promise<void> {
  const weightName = names.map((name) => `${name}.safetensors`);
  const files = await Promise.all(
    names.map(async (name, i) => [`models/${weightName[i]}`, await adapterFile(name)] as const),
  );
  await pipe.loadIpAdapter(adapterFolder(Object.fromEntries(files)), { subfolder: 'models', weightName });
}

async function embedsOf(name: string, shape: readonly number[]): Promise<Tensor> {
  const bytes = await namedWeights({ embeds: shape }, `${name}/`).read('embeds');
  return { shape, data: new Float32Array(bytes.buffer) };
}

/** Masks of an adapter's pictures: pictures, or an array that is taken as it is. */
function maskOption(names: string | readonly string[]) {
  if (typeof names !== 'string') return names.map((name) => pictureOf(guidanceInputs, name));
  const { shape, data } = arrayOf(guidanceInputs, names, true);
  return { shape: [1, ...shape], data };
}

/** diffusers' keyword arguments as options of a call. */
async function callOptions(name: string): Promise<CallOptions> {
  const { image, mask_image: mask, control_image: control, pag, ...rest } = cases[name];
  const { task: _task, model: _model, nets: _nets, scheduler: _scheduler, ...others } = rest;
  const { adapters: _adapters, ip_adapter_scale: _scale, freeu: _freeu, ...call } = others;
  const {
    ip_adapter_image: prompts,
    ip_adapter_image_embeds: embeds,
    ip_adapter_masks: masks,
    hires,
    ...plain
  } = call;
  const picture = (one: string) => pictureOf(guidanceInputs, one);
  return {
    ...camelCased(plain),
    ...(hires && { hires: camelCased(hires) }),
    ...(control !== undefined && { controlImage: picture(control) }),
    ...(image !== undefined && { image: picture(image) }),
    ...(mask !== undefined && { maskImage: picture(mask) }),
    ...(prompts && {
      ipAdapterImage: prompts.map((one) => (typeof one === 'string' ? picture(one) : one.map(picture))),
    }),
    ...(masks && { ipAdapterMasks: masks.map(maskOption) }),
    ...(embeds && {
      ipAdapterImageEmbeds: await Promise.all(embeds.map(async (shape) => embedsOf(name, shape))),
    }),
    ...(pag?.pag_applied_layers !== undefined && { pagAppliedLayers: pag.pag_applied_layers }),
  };
}

export const guidanceCases: DrawnCases = {
  names: Object.keys(cases),
  expected: (name) => ({ shape: expected.shape(name), data: expected.f32(name) }),
  async open(name, setup) {
    const { model, nets, adapters, ip_adapter_scale: scale, freeu } = cases[name];
    const pipe = await openGuided(model, nets, setup);
    if (adapters.length > 0) await loadAdapters(pipe, adapters);
    if (scale !== undefined) pipe.setIpAdapterScale(scale);
    if (freeu) pipe.enableFreeU(freeu);
    return pipe;
  },
  async draw(pipe, name) {
    setScheduler(pipe, cases[name].scheduler);
    return drawTensor(pipe, await callOptions(name));
  },
};
