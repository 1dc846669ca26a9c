/** @file IP-Adapters, perturbed-attention guidance, FreeU, hires fix and DeepCache against diffusers; and what is refused. */

import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  DiffusionPipeline,
  FileFormatError,
  OptionError,
  SCHEDULERS,
  type BackendFactory,
  type CallOptions,
  type DiffusionPipeline as Pipeline,
  type IpAdapterScale,
  type ModelSource,
  type Tensor,
} from '../../src/index.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { presentBackends } from '../support/backends.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import { namedWeights } from '../support/named-weights.ts';
import { networkSchema, networkSource, withNetworks } from '../support/named-networks.ts';
import { camelCase, pictureOf } from '../support/pictures.ts';
import '../support/nmse.ts';

const namesSchema = v.array(v.union([v.string(), v.array(v.string())]));
const caseSchema = v.looseObject({
  task: v.picklist(['text', 'image', 'inpaint']),
  model: v.picklist(['sd', 'nine', 'sdxl']),
  nets: v.optional(v.array(v.string()), []),
  control_image: v.optional(v.string()),
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  adapters: v.optional(v.array(v.string()), []),
  ip_adapter_scale: v.optional(v.custom<IpAdapterScale | IpAdapterScale[]>(() => true)),
  ip_adapter_image: v.optional(v.nullable(namesSchema)),
  ip_adapter_image_embeds: v.optional(v.array(v.array(v.number()))),
  pag: v.optional(v.object({ pag_applied_layers: v.optional(v.union([v.string(), v.array(v.string())])) })),
  hires: v.optional(v.record(v.string(), v.unknown())),
  freeu: v.optional(v.object({ s1: v.number(), s2: v.number(), b1: v.number(), b2: v.number() })),
  scheduler: v.optional(v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) })),
});
type Case = v.InferOutput<typeof caseSchema>;

const networksSchema = v.looseObject({ networks: v.record(v.string(), networkSchema) });
const own = readFixtureJson(
  'pipelines/guidance.json',
  v.intersect([networksSchema, v.looseObject({ cases: v.record(v.string(), caseSchema) })]),
);
const { cases } = own;
const networks = { ...readFixtureJson('pipelines/control.json', networksSchema).networks, ...own.networks };
const inputs = await openTensorFixture('pipelines/images.safetensors');
const expected = await openTensorFixture('pipelines/guidance.safetensors');

const network = (name: string) => ({ name, ...networks[name] });

async function open(
  model: Case['model'],
  nets: readonly string[],
  factory: BackendFactory,
): Promise<Pipeline> {
  const base = await nodeFolderSource(fixturePath(`pipelines/${model === 'sdxl' ? 'tiny-sdxl' : 'tiny-sd'}`));
  return DiffusionPipeline.fromPretrained(withNetworks(base, { unet: network(model) }), {
    ...(nets.length > 0 && { controlnet: nets.map((net) => networkSource(network(net))) }),
    backends: [factory],
    dtype: 'f32',
  });
}

/** The file of an adapter; `changed` tensors have other shapes, or are left out. */
async function adapterFile(
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
function adapterFolder(files: Readonly<Record<string, Uint8Array>>): ModelSource {
  const folder: ModelSource = {
    name: 'adapters',
    open: async (path) => Promise.resolve(path in files ? bufferSource(path, files[path]) : undefined),
    exists: async (path) => Promise.resolve(path in files),
    list: async () => Promise.resolve(Object.keys(files).map((path) => path.replace('models/', ''))),
  };
  return withNetworks(folder, { 'models/image_encoder': network('vision') });
}

async function load(pipe: Pipeline, names: readonly string[]): Promise<void> {
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

function camelCased(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [camelCase(name), value]));
}

/** diffusers' keyword arguments as options of a call. */
async function callOptions(name: string): Promise<CallOptions> {
  const { image, mask_image: mask, control_image: control, pag, ...rest } = cases[name];
  const { task: _task, model: _model, nets: _nets, scheduler: _scheduler, ...others } = rest;
  const { adapters: _adapters, ip_adapter_scale: _scale, freeu: _freeu, ...call } = others;
  const { ip_adapter_image: prompts, ip_adapter_image_embeds: embeds, hires, ...plain } = call;
  const picture = (one: string) => pictureOf(inputs, one);
  return {
    ...camelCased(plain),
    ...(hires && { hires: camelCased(hires) }),
    ...(control !== undefined && { controlImage: picture(control) }),
    ...(image !== undefined && { image: picture(image) }),
    ...(mask !== undefined && { maskImage: picture(mask) }),
    ...(prompts && {
      ipAdapterImage: prompts.map((one) => (typeof one === 'string' ? picture(one) : one.map(picture))),
    }),
    ...(embeds && {
      ipAdapterImageEmbeds: await Promise.all(embeds.map(async (shape) => embedsOf(name, shape))),
    }),
    ...(pag?.pag_applied_layers !== undefined && { pagAppliedLayers: pag.pag_applied_layers }),
  };
}

/** The slow backends run what differs in the graph; the CPU runs all. */
const SLOW: Readonly<Record<string, RegExp>> = {
  reference: /^(ip-two|pag-rescale|freeu-odd|cache)$/,
  webgpu: /^(pag-ip|freeu|cache)$/,
};

const backends = await presentBackends();

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  const chosen = Object.keys(cases).filter((name) => SLOW[backend]?.test(name) ?? true);
  it.each(chosen)(
    'draws "%s" as diffusers does',
    async (name) => {
      const { model, nets, adapters, ip_adapter_scale: scale, scheduler, freeu } = cases[name];
      const pipe = await open(model, nets, factory);
      try {
        if (adapters.length > 0) await load(pipe, adapters);
        if (scale !== undefined) pipe.setIpAdapterScale(scale);
        if (freeu) pipe.enableFreeU(freeu);
        const other = Object.values(SCHEDULERS).find(({ className }) => className === scheduler?.class);
        if (other) pipe.scheduler = other.fromConfig({ ...pipe.scheduler.config, ...scheduler?.options });
        const { latents } = await pipe({ ...(await callOptions(name)), outputType: 'latent' });
        expect(latents!.shape).toEqual(expected.shape(name));
        expect(latents!.data).toMatchNmse(expected.f32(name), 1e-6);
      } finally {
        await pipe.dispose();
      }
    },
    240_000,
  );
});

describe('IP-Adapters', async () => {
  const { factory } = backends.find(({ name }) => name === 'cpu')!;
  const call = {
    prompt: 'fox',
    height: 64,
    width: 64,
    numInferenceSteps: 1,
    seed: 1,
    outputType: 'latent',
  } as const;
  const picture = pictureOf(inputs, 'p.square');

  it('leave no trace when they are unloaded, and are replaced by others', async () => {
    const pipe = await open('sd', [], factory);
    const before = await pipe(call);
    await load(pipe, ['ip-plus']);
    await expect(pipe(call)).rejects.toThrow(/ipAdapterImage.*has no picture/);
    const first = await pipe({ ...call, ipAdapterImage: picture });
    await load(pipe, ['ip-image']);
    const second = await pipe({ ...call, ipAdapterImage: picture });
    pipe.setIpAdapterScale(0);
    const none = await pipe({ ...call, ipAdapterImage: picture });
    await pipe.unloadIpAdapter();
    const after = await pipe(call);
    expect(after.latents!.data).toEqual(before.latents!.data);
    expect(none.latents!.data).toEqual(before.latents!.data);
    expect(first.latents!.data).not.toEqual(before.latents!.data);
    expect(second.latents!.data).not.toEqual(first.latents!.data);
    await pipe.dispose();
  });

  it.each<[problem: string, options: CallOptions, message: RegExp]>([
    ['two pictures without a list in the list', { ipAdapterImage: [picture, picture] }, /2 entries for 1/],
    ['no picture at all', { ipAdapterImage: [] }, /0 entries for 1/],
    [
      'embeddings of another width',
      { ipAdapterImageEmbeds: [{ shape: [2, 1, 7], data: new Float32Array(14) }] },
      /ipAdapterImageEmbeds.*\[2, 1, 7\]/,
    ],
    [
      'embeddings for another guidance',
      { ipAdapterImageEmbeds: [{ shape: [1, 1, 20], data: new Float32Array(20) }] },
      /1 in place of 2/,
    ],
    [
      'both',
      { ipAdapterImage: picture, ipAdapterImageEmbeds: [{ shape: [2, 1, 20], data: new Float32Array(40) }] },
      /together/,
    ],
    [
      'a picture of one row',
      { ipAdapterImage: { width: 100, height: 1, data: new Uint8ClampedArray(400) } },
      /100x1/,
    ],
  ])('refuse %s', async (_problem, options, message) => {
    const pipe = await open('sd', [], factory);
    await load(pipe, ['ip-image']);
    const drawing = pipe({ ...call, ...options });
    await expect(drawing).rejects.toThrow(OptionError);
    await expect(drawing).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuse scales of blocks that there are not, and pictures without an adapter', async () => {
    const pipe = await open('sd', [], factory);
    await expect(pipe({ ...call, ipAdapterImage: picture })).rejects.toThrow(/no IP-Adapter is loaded/);
    await load(pipe, ['ip-image']);
    expect(() => pipe.setIpAdapterScale([1, 1])).toThrow(/2 scales for 1/);
    expect(() => pipe.setIpAdapterScale({ up: { block_0: 1 } })).toThrow(/scale\.up\.block_0/);
    await pipe.dispose();
  });

  it.each<[problem: string, changed: Readonly<Record<string, readonly number[] | null>>, message: RegExp]>([
    ['another text width', { 'image_proj.proj.weight': [4 * 32, 20] }, /tokens of 32 numbers/],
    ['a tensor missing', { 'ip_adapter.5.to_k_ip.weight': null }, /ip_adapter\.5\.to_k_ip/],
    [
      'more attentions',
      { 'ip_adapter.99.to_k_ip.weight': [8, 24] },
      /attention that the model does not have/,
    ],
    ['another width', { 'ip_adapter.1.to_v_ip.weight': [9, 24] }, /ip_adapter\.1\.to_v_ip/],
    [
      'embeddings of faces',
      { 'image_proj.proj.weight': null, 'image_proj.proj.0.weight': [40, 20] },
      /FaceID/,
    ],
    ['a projection of other axes', { 'image_proj.proj.weight': [96, 20, 1] }, /image_proj\.proj\.weight/],
  ])('refuse a file with %s', async (_problem, changed, message) => {
    const pipe = await open('sd', [], factory);
    const file = await adapterFile('ip-image', changed);
    await expect(pipe.loadIpAdapter(bufferSource('x.safetensors', file))).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuse pickles with what converts them, LoRAs, and folders of several', async () => {
    const pipe = await open('sd', [], factory);
    const pickle = bufferSource('ip-adapter.bin', Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0x2e, 0, 0));
    await expect(pipe.loadIpAdapter(pickle)).rejects.toThrow(/ip-adapter\.safetensors/);
    const lora = makeSafetensors({ 'lora_unet_mid.lora_up.weight': { shape: [1] } });
    await expect(pipe.loadIpAdapter(bufferSource('l', lora))).rejects.toThrow(FileFormatError);
    const folder = adapterFolder({ 'models/a.safetensors': lora });
    await expect(pipe.loadIpAdapter(folder, { subfolder: 'models' })).rejects.toThrow(/a\.safetensors/);
    await pipe.dispose();
  });

  it('given as files need the place of the image encoder', async () => {
    const pipe = await open('sd', [], factory);
    await pipe.loadIpAdapter(bufferSource('x', await adapterFile('ip-image')));
    await expect(pipe({ ...call, ipAdapterImage: picture })).rejects.toThrow(/without its image encoder/);
    await pipe.dispose();
  });
});

describe('perturbed-attention guidance', () => {
  it.each<[problem: string, layers: string | string[], message: RegExp]>([
    ['names of no layer', ['mid', 'left'], /"left" is no self-attention/],
    ['broken expressions', '(', /not a regular expression/],
  ])('refuses %s', async (_problem, pagAppliedLayers, message) => {
    const { factory } = backends.find(({ name }) => name === 'cpu')!;
    const pipe = await open('sd', [], factory);
    await expect(pipe({ prompt: 'fox', pagScale: 3, pagAppliedLayers })).rejects.toThrow(message);
    await pipe.dispose();
  });
});
