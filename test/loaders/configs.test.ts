/** @file Component configurations: those of published models, class defaults, and what is refused. */
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import type { ConfigContext } from '../../src/loaders/config.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { parseAutoencoderTinyConfig } from '../../src/loaders/configs/autoencoder-tiny.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parseModelIndex } from '../../src/loaders/configs/model-index.ts';
import { parsePixArtTransformerConfig } from '../../src/loaders/configs/pixart-transformer.ts';
import { parseSchedulerFile } from '../../src/loaders/configs/scheduler.ts';
import { parseT5EncoderConfig } from '../../src/loaders/configs/t5-encoder.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { parseConfigJson } from '../../src/loaders/json.ts';
import fixture from '../fixtures/loaders/configs.json' with { type: 'json' };

const files: ReadonlyMap<string, string> = new Map(Object.entries(fixture.configs));
const namesOf = (pattern: RegExp) => [...files.keys()].filter((name) => pattern.test(name));
const json = (name: string) => parseConfigJson(files.get(name) ?? '', name);
const strict = (file: string): ConfigContext => ({
  file,
  onNotice: (notice) => {
    throw new Error(notice);
  },
});
const context = { file: 'model/unet/config.json' };

/** What diffusers built from a UNet's configuration (make_configs.py). */
interface Derived {
  readonly timeEmbedDim: number;
  readonly timeCondProjDim: number | null;
  readonly additionInput: number | null;
  readonly additionTime: number | null;
  readonly resnets: number[];
  readonly down: number[][][];
  readonly mid: number[][];
  readonly midClass: string | null;
  readonly up: number[][][];
  readonly upChannels: number[];
}

describe('UNet2DConditionModel', () => {
  const derived: ReadonlyMap<string, Derived> = new Map(Object.entries(fixture.unets));
  const supported = [...derived.keys()];

  test.each(supported)('%s says what diffusers builds', (name) => {
    const config = parseUNet2DConditionConfig(json(name), strict(name));
    const truth = derived.get(name);
    const levels = config.blockOutChannels.length;
    const attentions = (depths: readonly number[], level: number) =>
      depths.map((depth) => [depth, config.numAttentionHeads[level], config.crossAttentionDim]);
    expect({
      timeEmbedDim: config.timeEmbedDim,
      timeCondProjDim: config.timeCondProjDim,
      additionInput: config.additionEmbed?.inputDim ?? null,
      additionTime: config.additionEmbed?.timeEmbedDim ?? null,
      resnets: config.layersPerBlock,
      down: config.transformerLayersPerBlock.map(attentions),
      mid: config.midTransformerLayers === 0 ? [] : attentions([config.midTransformerLayers], levels - 1),
      midClass: config.midBlockType,
      up: config.upTransformerLayersPerBlock.map((depths, i) => attentions(depths, levels - 1 - i)),
      upChannels: config.blockOutChannels.toReversed(),
    }).toEqual({ ...truth, parameters: undefined });
  });

  test('all UNets of the fixture are tried', () => {
    expect(supported.length).toBe(20);
  });

  test('missing fields take the defaults of the class', () => {
    const all = parseUNet2DConditionConfig(fixture.defaults.UNet2DConditionModel, strict('defaults'));
    expect(parseUNet2DConditionConfig({}, strict('empty'))).toEqual(all);
    expect(all).toMatchObject({
      sampleSize: null,
      crossAttentionDim: 1280,
      normEps: 1e-5,
    });
  });

  test('the upscaler has a table of noise levels, and levels that look at the text alone', () => {
    const config = parseUNet2DConditionConfig(json('sd-x4-upscaler/unet/config.json'), {
      file: 'config.json',
    });
    expect(config).toMatchObject({
      numClassEmbeds: 1000,
      onlyCrossAttention: [true, true, true, false],
    });
    const all = parseUNet2DConditionConfig({ only_cross_attention: true }, { file: 'config.json' });
    expect(all).toMatchObject({ onlyCrossAttention: [true, true, true, true] });
  });

  const refused: [field: string, value: unknown, message: RegExp][] = [
    ['class_embed_type', 'timestep', /"timestep" is not supported; supported: null/],
    ['addition_embed_type', 'image', /"image" is not supported; supported: null, "text_time"/],
    ['time_embedding_type', 'fourier', /supported: "positional"/],
    ['resnet_time_scale_shift', 'scale_shift', /supported: "default"/],
    ['dual_cross_attention', true, /supported: false/],
    [
      'mid_block_type',
      'UNetMidBlock2DSimpleCrossAttn',
      /supported: "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", null/,
    ],
    ['only_cross_attention', [true], /has 1 entries, but block_out_channels has 4 levels/],
    ['act_fn', 'mish', /supported: "silu", "swish"/],
    ['_class_name', 'UNet2DModel', /supported: "UNet2DConditionModel"/],
    ['in_channels', '4', /Expected number, but it is "4"/],
    ['in_channels', 4.5, /safe integer/],
    ['in_channels', 0, />=1/],
    ['norm_num_groups', null, /Expected number/],
    ['norm_num_groups', 30, /320 channels cannot be split into 30 groups/],
    ['attention_head_dim', 7, /320 channels cannot be split into 7 heads/],
    ['attention_head_dim', [8, 8], /has 2 entries, but block_out_channels has 4 levels/],
    ['cross_attention_dim', [768, 768, 768, 1024], /has different widths \(768, 768, 768, 1024\)/],
    ['cross_attention_dim', [768, 768], /has 2 entries, but block_out_channels has 4 levels/],
    ['block_out_channels', [], /the list is empty/],
    ['transformer_layers_per_block', 'many', /expected a whole number, or a list/],
    ['sample_size', [64], /expected a whole number or \[height, width\]/],
  ];
  test.each(refused)('%s = %j is refused by name', (field, value, message) => {
    const parse = () => parseUNet2DConditionConfig({ [field]: value }, context);
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(`${context.file}: ${field}`);
  });

  test('fields that need each other', () => {
    const parse = (value: object) => () => parseUNet2DConditionConfig(value, context);
    expect(parse({ addition_embed_type: 'text_time' })).toThrow(/addition_time_embed_dim: is missing/);
    expect(parse({ addition_embed_type: 'text_time', addition_time_embed_dim: 256 })).toThrow(
      /projection_class_embeddings_input_dim: is missing/,
    );
    expect(parse({ transformer_layers_per_block: [[1, 1], 1, 1, 1] })).toThrow(
      /reverse_transformer_layers_per_block: is missing/,
    );
    expect(
      parse({
        transformer_layers_per_block: [[1], 1, 1, 1],
        reverse_transformer_layers_per_block: [1, 1, 1, 1],
      }),
    ).toThrow(/transformer_layers_per_block.0: has 1 entries for 2 attentions/);
    expect(parse({ up_block_types: ['UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D', 'UpBlock2D'] })).toThrow(
      /up_block_types.1: the value "AttnUpBlock2D" is not supported; supported: "UpBlock2D", "CrossAttnUpBlock2D"/,
    );
  });

  test('unknown fields are named once, and private ones are not', () => {
    const notices: string[] = [];
    parseUNet2DConditionConfig(
      { _name_or_path: 'x', attention_heads: 3, speed: 'fast' },
      { ...context, onNotice: (notice) => notices.push(notice) },
    );
    expect(notices).toEqual([`${context.file}: ignored unknown fields: attention_heads, speed`]);
  });
});

describe('autoencoders', () => {
  const autoencoders = namesOf(/\/vae[^/]*\/config\.json$|^taesd/);
  const isTiny = (name: string) => files.get(name)?.includes('AutoencoderTiny') === true;

  test.each(autoencoders.filter((name) => !isTiny(name)))('%s is read', (name) => {
    expect(parseAutoencoderKLConfig(json(name), strict(name)).latentChannels).toBe(4);
  });

  test.each(autoencoders.filter(isTiny))('%s is read', (name) => {
    expect(parseAutoencoderTinyConfig(json(name), strict(name)).numDecoderBlocks).toEqual([3, 3, 3, 1]);
  });

  test('defaults that published files rely on', () => {
    const all = parseAutoencoderKLConfig(fixture.defaults.AutoencoderKL, strict('defaults'));
    expect(parseAutoencoderKLConfig({}, strict('empty'))).toEqual(all);
    expect(parseAutoencoderKLConfig(json('sd15/vae/config.json'), context).scalingFactor).toBe(0.18215);
    expect(parseAutoencoderKLConfig(json('sdxl-base-1.0/vae/config.json'), context)).toMatchObject({
      scalingFactor: 0.13025,
      forceUpcast: true,
      sampleSize: [1024, 1024],
      latentStatistics: null,
    });
    const tiny = parseAutoencoderTinyConfig(fixture.defaults.AutoencoderTiny, strict('defaults'));
    expect(parseAutoencoderTinyConfig({}, strict('empty'))).toEqual(tiny);
  });

  test('what is refused', () => {
    const kl = (value: object) => () => parseAutoencoderKLConfig(value, context);
    expect(kl({ down_block_types: ['AttnDownEncoderBlock2D'] })).toThrow(
      /down_block_types.0: .*"DownEncoderBlock2D"/,
    );
    expect(kl({ block_out_channels: [64, 64] })).toThrow(/down_block_types: has 1 entries/);
    expect(kl({ latents_mean: [0], latents_std: [1] })).toThrow(
      /latents_mean: has 1 entries for 4 latent channels/,
    );
    expect(kl({ _class_name: 'VQModel' })).toThrow(/supported: "AutoencoderKL"/);
    const tiny = (value: object) => () => parseAutoencoderTinyConfig(value, context);
    expect(tiny({ decoder_block_out_channels: [64, 64, 64] })).toThrow(
      /has 3 entries, but num_decoder_blocks has 4/,
    );
    expect(tiny({ encoder_block_out_channels: [32, 64, 64, 64] })).toThrow(/unequal channel counts/);
    expect(tiny({ upsample_fn: 'bilinear' })).toThrow(/supported: "nearest"/);
  });
});

describe('CLIP text encoders', () => {
  test.each(namesOf(/^(?!pixart).*text_encoder(_2)?\/config\.json$/))('%s is read', (name) => {
    const config = parseCLIPTextConfig(json(name), strict(name));
    expect(config.maxPositionEmbeddings).toBe(77);
    expect(config.hiddenAct).toBe(
      /sd21|sd-x4|text_encoder_2|refiner|tiny-sdxl/.test(name) ? 'gelu' : 'quick_gelu',
    );
  });

  test('missing fields take the defaults of the class', () => {
    const all = parseCLIPTextConfig(fixture.defaults.CLIPTextConfig, context);
    expect(parseCLIPTextConfig({}, context)).toEqual(all);
  });

  test("a whole CLIP model's file has it inside", () => {
    const inner = json('sd15/text_encoder/config.json');
    const whole = { model_type: 'clip', projection_dim: 1, text_config: inner };
    expect(parseCLIPTextConfig(whole, context)).toEqual(parseCLIPTextConfig(inner, context));
    expect(() => parseCLIPTextConfig({ text_config: { hidden_act: 'relu' } }, context)).toThrow(
      `${context.file}#text_config: hidden_act: the value "relu" is not supported; supported: "quick_gelu", "gelu"`,
    );
  });

  test('what is refused', () => {
    const parse = (value: object) => () => parseCLIPTextConfig(value, context);
    expect(parse({ model_type: 't5' })).toThrow(/model_type: the value "t5"/);
    expect(parse({ num_attention_heads: 7 })).toThrow(/hidden_size 512 cannot be split into 7 heads/);
    expect(parse({ eos_token_id: [2, 3] })).toThrow(/expected one token id/);
    expect(() => parseCLIPTextConfig([], context)).toThrow(ConfigError);
  });
});

describe('PixArt transformers', () => {
  test.each([
    ['pixart-xl-2-1024-ms', 2, true],
    ['pixart-xl-2-512x512', 1, false],
  ] as const)('%s is read', (model, interpolationScale, useAdditionalConditions) => {
    const name = `${model}/transformer/config.json`;
    expect(parsePixArtTransformerConfig(json(name), strict(name))).toMatchObject({
      interpolationScale,
      useAdditionalConditions,
      numAttentionHeads: 16,
      attentionHeadDim: 72,
      outChannels: 8,
      crossAttentionDim: 4096,
      captionProjection: true,
      activation: 'gelu_tanh',
    });
  });

  test('what is refused', () => {
    const parse = (value: object) => () => parsePixArtTransformerConfig(value, context);
    expect(parse({ norm_type: 'ada_norm_zero' })).toThrow(/norm_type: the value "ada_norm_zero"/);
    expect(parse({ caption_channels: 64, cross_attention_dim: 1024 })).toThrow(/projected to 1152 channels/);
    expect(parse({ out_channels: 6 })).toThrow(/neither the 4 of the latents nor twice as many/);
    expect(parse({ patch_size: 3 })).toThrow(/patch_size/);
    expect(parse({ num_attention_heads: 1, attention_head_dim: 64, cross_attention_dim: 64 })).toThrow(
      /64 channels cannot be split into 3 conditions/,
    );
    expect(parse({ interpolation_scale: 0 })).toThrow(/interpolation_scale/);
  });
});

describe('T5 encoders', () => {
  test('the one of PixArt', () => {
    const name = 'pixart-xl-2-1024-ms/text_encoder/config.json';
    expect(parseT5EncoderConfig(json(name), strict(name))).toMatchObject({
      dModel: 4096,
      numLayers: 24,
      numHeads: 64,
      activation: 'gelu_tanh',
      gated: true,
    });
  });

  test('the feed-forward by its name, or as it was written before', () => {
    const feedForward = (value: object) => {
      const { activation, gated } = parseT5EncoderConfig(value, context);
      return [activation, gated];
    };
    expect(feedForward({})).toEqual(['relu', false]);
    expect(feedForward({ feed_forward_proj: 'gated-gelu', dense_act_fn: 'relu' })).toEqual([
      'gelu_tanh',
      true,
    ]);
    expect(feedForward({ feed_forward_proj: 'gated-relu' })).toEqual(['relu', true]);
    expect(feedForward({ dense_act_fn: 'gelu_new', is_gated_act: true })).toEqual(['gelu_tanh', true]);
    expect(() => feedForward({ feed_forward_proj: 'gated-silu' })).toThrow(/feed_forward_proj/);
    expect(() => feedForward({ relative_attention_num_buckets: 3 })).toThrow(ConfigError);
  });
});

describe('model_index.json', () => {
  test('folders of inpainting models are for the same pipeline', () => {
    const inpaint = Object.assign({}, json('sd15/model_index.json'), {
      _class_name: 'StableDiffusionInpaintPipeline',
    });
    expect(parseModelIndex(inpaint, { file: 'sd15-inpainting' }).className).toBe('StableDiffusionPipeline');
  });

  test('the starter and Stable Diffusion 1.5, whose unused components are named once', () => {
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const starter = parseModelIndex(json('emoji-starter/model_index.json'), { file: 'starter', onNotice });
    expect(starter.className).toBe('StableDiffusionPipeline');
    expect(Object.fromEntries(starter.components)).toEqual({
      unet: 'UNet2DConditionModel',
      vae: 'AutoencoderTiny',
      text_encoder: 'CLIPTextModel',
      tokenizer: 'CLIPTokenizer',
      scheduler: 'DDIMScheduler',
    });
    expect(notices).toEqual([]);
    parseModelIndex(json('sd15/model_index.json'), { file: 'sd15', onNotice });
    expect(notices).toEqual(['sd15: not used and not read: feature_extractor, safety_checker']);
  });

  test('SDXL with its flag and both encoders', () => {
    const index = parseModelIndex(json('sdxl-base-1.0/model_index.json'), strict('sdxl'));
    expect(index.forceZerosForEmptyPrompt).toBe(true);
    expect(index.components.get('text_encoder_2')).toBe('CLIPTextModelWithProjection');
  });

  test('PixArt, whose transformer goes by an older name', () => {
    const index = parseModelIndex(json('pixart-xl-2-1024-ms/model_index.json'), strict('pixart'));
    expect(index.className).toBe('PixArtAlphaPipeline');
    expect(index.components.get('transformer')).toBe('Transformer2DModel');
  });

  test('pipelines, classes and components that are not there', () => {
    expect(() => parseModelIndex({ _class_name: 'PixArtSigmaPipeline' }, context)).toThrow(
      /_class_name: the value "PixArtSigmaPipeline" is not supported; supported: "StableDiffusionPipeline"/,
    );
    const base = {
      _class_name: 'StableDiffusionPipeline',
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: ['diffusers', 'AutoencoderKL'],
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      scheduler: ['diffusers', 'PNDMScheduler'],
    };
    const parse = (change: object, provided?: 'vae'[]) => () =>
      parseModelIndex(
        { ...base, ...change },
        { ...context, ...(provided && { provided: new Set(provided) }) },
      );
    expect(parse({ vae: ['diffusers', 'ConsistencyDecoderVAE'] })).toThrow(
      /vae: the class ConsistencyDecoderVAE is not supported; supported: AutoencoderKL, AutoencoderTiny/,
    );
    expect(parse({ vae: [null, null] })).toThrow(/vae: StableDiffusionPipeline needs this component/);
    expect(parse({ unet: 'UNet' })).toThrow(/unet: expected \[library, class\], got "UNet"/);
    // A component that the caller brings is not looked at, nor is one that the pipeline does not use.
    expect(parse({ vae: ['diffusers', 'ConsistencyDecoderVAE'] }, ['vae'])().components.has('vae')).toBe(
      false,
    );
    expect(parse({ watermarker: ['x', 'NoSuchClass'] })().components.size).toBe(5);
  });
});

test.each(namesOf(/scheduler_config\.json$/))('%s is read', (name) => {
  expect(parseSchedulerFile(json(name), { file: name }).className).toMatch(/Scheduler$/);
});

test('infinite numbers of a scheduler', () => {
  const { config } = parseSchedulerFile(json('pixart-xl-2-1024-ms/scheduler/scheduler_config.json'), context);
  expect(config['lambda_min_clipped']).toBe(Number.NEGATIVE_INFINITY);
});

test('a scheduler without a class is refused', () => {
  expect(() => parseSchedulerFile({}, context)).toThrow(/_class_name/);
});
