/** @file PixArtAlphaPipeline against diffusers: T5's embeddings, latents on every backend, and what it refuses. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import {
  blobModelSource,
  DiffusionPipeline,
  inspectModel,
  OptionError,
  reference,
  type CallOptions,
  type ModelSource,
} from '../../src/index.ts';
import { REFERENCE_TARGET } from '../../src/backends/reference/reference.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { presentBackends } from '../support/backends.ts';
import {
  pixartCases,
  pixartModel,
  pixartOptions,
  pixartSpecs,
  pixartTensors,
} from '../support/drawn/pixart.ts';
import { testModels } from '../support/drawn/test-drawn.ts';
import { fixturePath, readFixtureJson } from '../support/fixtures.ts';

const { configs } = readFixtureJson(
  'loaders/configs.json',
  v.looseObject({ configs: v.record(v.string(), v.string()) }),
);
/** Slow backends run the case that has most in it. */
testModels(
  await presentBackends(),
  pixartCases,
  (backend, _model, name) => backend === 'cpu' || name === 'pair',
);

describe('inspectModel', () => {
  it('reports on the published model, whose text encoder is held in halves and computes in f32', async () => {
    const names = [
      'model_index.json',
      ...['transformer', 'text_encoder', 'vae'].map((name) => `${name}/config.json`),
    ];
    const files = names.map((name): [string, Blob] => [
      name,
      new Blob([configs[`pixart-xl-2-1024-ms/${name}`] ?? '']),
    ]);
    const target = { ...REFERENCE_TARGET, dtype: 'f16' as const };
    const { className, networks } = await inspectModel(blobModelSource('pixart', new Map(files)), { target });
    expect(className).toBe('PixArtAlphaPipeline');
    expect(networks.map(({ name }) => name)).toEqual(['text_encoder', 'transformer', 'vae_decoder']);
    const [text, transformer] = networks;
    expect(text.programs[0].plan.dtype).toBe('f32');
    expect(text.weightBytes / 2 ** 30).toBeCloseTo(8.87, 1);
    expect(transformer.programs.map(({ name }) => name)).toEqual(['prompt', 'step', 'latent']);
    expect(transformer.weightBytes / 2 ** 30).toBeCloseTo(1.14, 1);
  });

  it('reports on a transformer alone', async () => {
    const path = 'transformer/config.json';
    const files = new Map([[path, new Blob([configs[`pixart-xl-2-512x512/${path}`] ?? ''])]]);
    const report = await inspectModel(blobModelSource('pixart', files), { target: REFERENCE_TARGET });
    expect(report.className).toBe('PixArtTransformer2DModel');
  });
});

describe('PixArtAlphaPipeline', () => {
  let pipe: DiffusionPipeline;
  let binning: DiffusionPipeline;
  beforeAll(async () => {
    pipe = await DiffusionPipeline.fromPretrained(await pixartModel('tiny-pixart'), {
      backends: [reference()],
    });
    binning = await DiffusionPipeline.fromPretrained(await pixartModel('tiny-pixart-256'), {
      backends: [reference()],
    });
  });
  afterAll(async () => {
    await pipe.dispose();
    await binning.dispose();
  });

  const { num_images_per_prompt: _images, ...pair } = pixartSpecs['tiny-pixart']['pair'];
  const { prompt, negativePrompt, maxSequenceLength, ...rest } = pixartOptions(pair);

  it('encodes prompts as diffusers does, and draws the same from embeddings', async () => {
    const embeddings = await pipe.encodePrompt({
      ...(prompt !== undefined && { prompt }),
      ...(negativePrompt !== undefined && { negativePrompt }),
      ...(maxSequenceLength !== undefined && { maxSequenceLength }),
    });
    for (const [name, { shape, data }] of Object.entries(embeddings)) {
      const expected = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      expect(shape, name).toEqual(pixartTensors.shape(expected));
      expect(data, name).toMatchNmse(pixartTensors.f32(expected), 1e-10);
    }
    expect(Object.keys(embeddings)).toHaveLength(4);
    const again = await pipe({ ...rest, ...embeddings, outputType: 'latent' });
    const direct = await pipe({ ...pixartOptions(pair), outputType: 'latent' });
    expect(again.latents!.data).toEqual(direct.latents!.data);
    expect(direct.truncatedPrompts).toHaveLength(1);
  });

  it('gives pictures of the size that was asked for, and says so', async () => {
    const options = pixartOptions(pixartSpecs['tiny-pixart-256']['binned']);
    const { images, options: used } = await binning({ ...options, numInferenceSteps: 1 });
    expect(images.map(({ width, height }) => [width, height])).toEqual([[155, 100]]);
    expect(used).toMatchObject({ height: 100, width: 155, guidanceScale: 4.5, useResolutionBinning: true });
  });

  const small = { prompt: '', height: 64, width: 64, useResolutionBinning: false };
  const embeds = { shape: [1, 3, 20], data: new Float32Array(60) };
  it.each<[string, CallOptions, RegExp]>([
    ['height', { ...small, height: 72 }, /not a multiple of 16/],
    ['cleanCaption', { ...small, cleanCaption: true }, /BeautifulSoup/],
    ['clipSkip', { ...small, clipSkip: 1 }, /no such option/],
    ['prompt2', { ...small, prompt2: '' }, /no such option/],
    ['maxSequenceLength', { ...small, maxSequenceLength: 0 }, /from 1 to/],
    ['width', { ...small, width: 1000 }, /not a multiple of 16/],
    ['promptAttentionMask', { height: 64, width: 64, promptEmbeds: embeds }, /need it/],
    [
      'promptAttentionMask',
      { promptEmbeds: embeds, promptAttentionMask: { shape: [1, 2], data: new Float32Array(2) } },
      /shape is \[1, 2\]/,
    ],
  ])('refuses a %s that does not fit', async (field, options, message) => {
    const error: unknown = await pipe(options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OptionError);
    expect(error).toMatchObject({ field });
    expect(String(error)).toMatch(message);
  });

  it('refuses what works on UNets alone', async () => {
    expect(() => pipe.enableFreeU({ b1: 1.2, b2: 1.4, s1: 0.9, s2: 0.2 })).toThrow(/has a transformer/);
    await expect(pipe({ ...small, controlImage: { shape: [], data: new Float32Array() } })).rejects.toThrow(
      OptionError,
    );
    await expect(pipe({ ...small, pagScale: 3 })).rejects.toThrow(/no such option/);
  });

  it('keeps its own options from other pipelines', async () => {
    const sd = await DiffusionPipeline.fromPretrained(
      await nodeFolderSource(fixturePath('pipelines/tiny-sd')),
      {
        backends: [reference()],
      },
    );
    await expect(sd({ prompt: '', maxSequenceLength: 20 })).rejects.toThrow(/no such option/);
    await sd.dispose();
  });

  it('says which part does not fit the others', async () => {
    const model = await pixartModel('tiny-pixart');
    const wider = {
      caption_channels: 24,
      num_attention_heads: 3,
      attention_head_dim: 8,
      cross_attention_dim: 24,
    };
    const other = blobModelSource('other', new Map([['config.json', new Blob([JSON.stringify(wider)])]]));
    const source: ModelSource = {
      ...model,
      open: (path, signal) =>
        path === 'transformer/config.json' ? other.open('config.json', signal) : model.open(path, signal),
    };
    await expect(DiffusionPipeline.fromPretrained(source, { backends: [reference()] })).rejects.toThrow(
      /caption_projection|d_model/,
    );
  });
});
