/** @file ControlNets against diffusers: same pictures, same seed, same latents; and what is refused. */

import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  ConfigError,
  DiffusionPipeline,
  NotFoundError,
  OptionError,
  SCHEDULERS,
  type BackendFactory,
  type CallOptions,
  type DiffusionPipeline as Pipeline,
  type Tensor,
} from '../../src/index.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { presentBackends } from '../support/backends.ts';
import { fixturePath, openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import { networkSchema, networkSource, withNetworks, type NamedNetwork } from '../support/named-networks.ts';
import { arrayOf, camelCase, pictureOf } from '../support/pictures.ts';
import '../support/nmse.ts';

const namesSchema = v.union([v.string(), v.array(v.string())]);
const caseSchema = v.looseObject({
  task: v.picklist(['text', 'image', 'inpaint']),
  model: v.picklist(['sd', 'nine', 'sdxl']),
  nets: v.array(v.string()),
  control_image: namesSchema,
  image: v.optional(v.string()),
  mask_image: v.optional(v.string()),
  scheduler: v.optional(v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) })),
});
type Case = v.InferOutput<typeof caseSchema>;

const { networks, cases } = readFixtureJson(
  'pipelines/control.json',
  v.looseObject({
    networks: v.record(v.string(), networkSchema),
    cases: v.record(v.string(), caseSchema),
  }),
);
const inputs = await openTensorFixture('pipelines/images.safetensors');
const expected = await openTensorFixture('pipelines/control.safetensors');

const network = (name: string): NamedNetwork => ({ name, ...networks[name] });

async function open(
  model: Case['model'],
  nets: readonly NamedNetwork[],
  factory: BackendFactory,
): Promise<Pipeline> {
  const base = await nodeFolderSource(fixturePath(`pipelines/${model === 'sdxl' ? 'tiny-sdxl' : 'tiny-sd'}`));
  return DiffusionPipeline.fromPretrained(withNetworks(base, { unet: network(model) }), {
    controlnet: nets.length === 1 ? networkSource(nets[0]) : nets.map(networkSource),
    backends: [factory],
    dtype: 'f32',
  });
}

/** A picture with -1 where a mask is white, which nets for inpainting take. */
function maskedArray(): Tensor {
  const picture = arrayOf(inputs, 'a.two', true);
  const mask = inputs.f32('a.masks');
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
    const { shape, data } = arrayOf(inputs, 'a.masks', true);
    return { shape: [1, shape[1], shape[2], 1], data: data.subarray(0, shape[1] * shape[2]) };
  }
  return name.startsWith('a.') ? arrayOf(inputs, name, true) : pictureOf(inputs, name);
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
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [camelCase(name), value])),
    controlImage: typeof control === 'string' ? input(control) : control.map(input),
    ...(image !== undefined && { image: input(image) }),
    ...(mask !== undefined && { maskImage: input(mask) }),
  };
}

/** The slow backends run what differs in the graph or the tables; the CPU runs all. */
const SLOW: Readonly<Record<string, RegExp>> = {
  reference: /^(start-end|two-nets|pooled|xl-two-nets)$/,
  webgpu: /^pooled$/,
};

const backends = await presentBackends();

describe.each(backends)('on $name', ({ name: backend, factory }) => {
  const chosen = Object.keys(cases).filter((name) => SLOW[backend]?.test(name) ?? true);
  it.each(chosen)(
    'draws "%s" as diffusers does',
    async (name) => {
      const { model, nets, scheduler } = cases[name];
      const pipe = await open(model, nets.map(network), factory);
      try {
        const other = Object.values(SCHEDULERS).find(({ className }) => className === scheduler?.class);
        if (other) pipe.scheduler = other.fromConfig({ ...pipe.scheduler.config, ...scheduler?.options });
        const options = callOptions(cases[name]);
        if (options.paddingMaskCrop !== undefined) {
          const { images } = await pipe(options);
          const rgb = images[0].data.filter((_, i) => i % 4 !== 3);
          expect(Float32Array.from(rgb)).toMatchNmse(expected.f32(name), 1e-6);
          return;
        }
        const { latents } = await pipe({ ...options, outputType: 'latent' });
        expect(latents!.shape).toEqual(expected.shape(name));
        expect(latents!.data).toMatchNmse(expected.f32(name), 1e-6);
      } finally {
        await pipe.dispose();
      }
    },
    240_000,
  );
});

describe('what does not fit', async () => {
  const { factory } = backends.find(({ name }) => name === 'cpu')!;
  const picture = pictureOf(inputs, 'p.square');
  const prompt = 'fox';

  it.each<[problem: string, options: CallOptions, field: RegExp]>([
    ['scales without a picture', { guessMode: true }, /controlImage.*guessMode was given/],
    [
      'two pictures in a list of lists',
      { controlImage: [[picture], [picture]] },
      /controlImage.*2 entries for 1/,
    ],
    [
      'pictures for other prompts',
      { controlImage: [picture, picture, picture] },
      /controlImage.*3 of them for 1/,
    ],
    ['an array of other channels', { controlImage: arrayOf(inputs, 'a.masks', true) }, /controlImage.*shape/],
    [
      'a list of scales that is too long',
      { controlImage: picture, controlnetConditioningScale: [1, 1] },
      /Scale/,
    ],
    ['a scale that is no number', { controlImage: picture, controlnetConditioningScale: NaN }, /Scale/],
    [
      'an end before the start',
      { controlImage: picture, controlGuidanceStart: 0.5, controlGuidanceEnd: 0.5 },
      /controlGuidanceStart/,
    ],
    ['an end after the last step', { controlImage: picture, controlGuidanceEnd: 1.5 }, /controlGuidance/],
  ])('refuses %s', async (_problem, options, message) => {
    const pipe = await open('sd', [network('canny')], factory);
    const call = pipe({ prompt, height: 64, width: 64, numInferenceSteps: 1, ...options });
    await expect(call).rejects.toThrow(OptionError);
    await expect(call).rejects.toThrow(message);
    await pipe.dispose();
  });

  it('refuses a control picture without a ControlNet', async () => {
    const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [factory],
    });
    await expect(pipe({ prompt, controlImage: picture })).rejects.toThrow(/loaded without a ControlNet/);
    await pipe.dispose();
  });

  const changed = (name: string, config: Record<string, unknown>): NamedNetwork => ({
    ...network(name),
    config: { ...networks[name].config, ...config },
  });
  it.each<[problem: string, net: NamedNetwork, message: RegExp]>([
    ['another text width', network('depth-xl'), /block_out_channels/],
    ['another class', changed('canny', { _class_name: 'T2IAdapter' }), /_class_name/],
    [
      'an unknown order of channels',
      changed('canny', { controlnet_conditioning_channel_order: 'gbr' }),
      /gbr/,
    ],
    ['other latents', changed('canny', { in_channels: 8 }), /in_channels/],
    [
      'pictures of another size',
      {
        ...changed('canny', { conditioning_embedding_out_channels: [4, 4, 6] }),
        shapes: { ...networks['canny'].shapes, 'controlnet_cond_embedding.conv_out.weight': [8, 6, 3, 3] },
      },
      /conditioning_embedding_out_channels.*4 pixels/,
    ],
    ['no middle', changed('canny', { mid_block_type: null }), /mid_block_type/],
    ['class embeddings', changed('canny', { num_class_embeds: 7 }), /num_class_embeds/],
    ['heads that do not divide', changed('canny', { attention_head_dim: [3, 3] }), /attention_head_dim/],
  ])('refuses a net with %s', async (_problem, net, message) => {
    const loading = open('sd', [net], factory);
    await expect(loading).rejects.toThrow(message);
  });

  it('refuses a net whose tensors have other shapes', async () => {
    const wide = changed('canny', { conditioning_embedding_out_channels: [4, 4, 6, 10] });
    await expect(open('sd', [wide], factory)).rejects.toThrow(/controlnet_cond_embedding/);
    await expect(open('sd', [wide], factory)).rejects.not.toThrow(ConfigError);
  });

  it('refuses a folder without a net', async () => {
    const loading = DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [factory],
      controlnet: fixturePath('pipelines/tiny-sd'),
    });
    await expect(loading).rejects.toThrow(NotFoundError);
  });
});
