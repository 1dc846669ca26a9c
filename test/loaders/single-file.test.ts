/** @file Single-file checkpoints: every tensor is found, configurations are the published ones, strangers are refused. */
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { FileFormatError } from '../../src/errors.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { openWeights } from '../../src/loaders/component.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { parseCLIPTextConfig } from '../../src/loaders/configs/clip-text.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { parseHubFile } from '../../src/loaders/hub-file.ts';
import { readJson, type ModelSource } from '../../src/loaders/model-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { readCheckpoint, type Checkpoint } from '../../src/loaders/single-file/checkpoint.ts';
import { checkpointSource } from '../../src/loaders/single-file/checkpoint-source.ts';
import { expectTensor } from '../../src/loaders/weight-source.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from '../../src/models/autoencoder-kl.ts';
import { buildCLIPText } from '../../src/models/clip-text.ts';
import { buildUNet2DCondition } from '../../src/models/unet2d-condition.ts';
import { readFixtureJson } from '../support/fixtures.ts';
import {
  FULL_MODELS,
  publishedCheckpoint,
  TINY_MODELS,
  tinyCheckpoint,
  tinyFolder,
} from '../support/single-file.ts';
import { makeSafetensors, type TestTensor } from './make-safetensors.ts';

const CONV_IN = 'model.diffusion_model.input_blocks.0.0.weight';
const noHub = async (repository: string): Promise<ModelSource> => Promise.reject(new Error(repository));

async function checkpointOf(tensors: Readonly<Record<string, TestTensor>>): Promise<Checkpoint> {
  return readCheckpoint(await openSafetensors(bufferSource('a.safetensors', makeSafetensors(tensors))));
}

/** What the graphs of a component ask for, as configured by `source`. */
async function graphsOf(source: ModelSource, component: string): Promise<readonly Graph[]> {
  const file = `${component}/config.json`;
  const json = await readJson(source, file);
  if (component === 'unet') return [buildUNet2DCondition(parseUNet2DConditionConfig(json, { file }))];
  if (component !== 'vae')
    return [buildCLIPText(parseCLIPTextConfig(json, { file }), { projection: component.endsWith('_2') })];
  const config = parseAutoencoderKLConfig(json, { file });
  return [buildAutoencoderKLDecoder(config), buildAutoencoderKLEncoder(config)];
}

describe.each(FULL_MODELS)('%s as published', async (model) => {
  const checkpoint = await readCheckpoint(await openSafetensors(publishedCheckpoint(model)));
  const source = checkpointSource(checkpoint, { resolve: noHub });
  const inpaint = model.includes('inpainting');
  const refiner = model.includes('refiner');

  it('is recognised', () => {
    expect(checkpoint.kind.className).toBe(
      inpaint
        ? 'StableDiffusionInpaintPipeline'
        : refiner
          ? 'StableDiffusionXLImg2ImgPipeline'
          : /xl|ssd/.test(model)
            ? 'StableDiffusionXLPipeline'
            : 'StableDiffusionPipeline',
    );
    expect(checkpoint.strangers).toEqual([]);
  });

  it.each([...checkpoint.components.keys()])(
    'has every tensor of its %s, in its shape',
    async (component) => {
      const weights = await openWeights(source, component);
      const asked = new Set<string>();
      for (const graph of await graphsOf(source, component))
        for (const { parts } of graph.weights)
          for (const { name, shape } of parts) {
            expectTensor(weights, name, shape);
            asked.add(name);
          }
      const unasked = [...weights.names()].filter((name) => !asked.has(name));
      // SD 2.x: the last layer and the projection of the pooled output; the table of positions is no weight.
      const known = /^text_model\.(encoder\.layers\.23\.|embeddings\.position_ids$)|^text_projection\./;
      expect(unasked.filter((name) => !known.test(name))).toEqual([]);
      expect(asked.size).toBeGreaterThan(100);
    },
  );

  it('is configured as published', async () => {
    const any = v.record(v.string(), v.unknown());
    const published = (folder: string) => readFixtureJson(`configs/${folder}/config.json`, any);
    const context = { file: model };
    const unet = parseUNet2DConditionConfig(await readJson(source, 'unet/config.json'), context);
    expect(unet).toEqual(parseUNet2DConditionConfig(published(`${model}/unet`), context));
    const xl = /xl|ssd/.test(model);
    const vae = parseAutoencoderKLConfig(await readJson(source, 'vae/config.json'), context);
    const { sampleSize: _trained, ...same } = parseAutoencoderKLConfig(
      published(xl ? 'sdxl-base-1.0/vae' : 'sd15/vae'),
      context,
    );
    expect(vae).toMatchObject(same);
    const texts: Record<string, string> = xl
      ? {
          ...(!refiner && { text_encoder: 'sdxl-base-1.0/text_encoder' }),
          text_encoder_2: 'sdxl-base-1.0/text_encoder_2',
        }
      : { text_encoder: model === 'sd21' ? 'sd21/text_encoder' : 'sd15/text_encoder' };
    for (const [component, folder] of Object.entries(texts)) {
      const found = parseCLIPTextConfig(await readJson(source, `${component}/config.json`), context);
      const { projectionDim, ...rest } = parseCLIPTextConfig(published(folder), context);
      expect(found).toMatchObject(component === 'text_encoder_2' ? { ...rest, projectionDim } : rest);
    }
  });
});

describe.each(TINY_MODELS)('%s as a checkpoint', async (model) => {
  const file = await openSafetensors(bufferSource('tiny.safetensors', await tinyCheckpoint(model)));
  const folder = await tinyFolder(model);
  const checkpoint = await readCheckpoint(file);
  const source = checkpointSource(checkpoint, { config: folder, resolve: noHub });

  it.each([...checkpoint.components.keys()])('gives the %s of the folder, bit for bit', async (component) => {
    const [mapped, original] = await Promise.all([
      openWeights(source, component),
      openWeights(folder, component),
    ]);
    for (const name of original.names()) {
      const stored = mapped.has(name) ? name : `text_model.${name}`;
      const { shape, dtype } = original.info(name);
      expect(mapped.info(stored)).toMatchObject({ shape, dtype });
      const bytes = await original.read(name);
      const chunks: Uint8Array[] = [];
      for await (const chunk of mapped.readChunks(stored, 1000)) chunks.push(chunk);
      expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(1000);
      for (const read of [await mapped.read(stored), Buffer.concat(chunks)])
        expect(Buffer.compare(read, bytes)).toBe(0);
    }
    await original.close();
    await mapped.close();
  });
});

describe('recognising', () => {
  const sd2 = {
    [CONV_IN]: { shape: [2, 4, 3, 3] },
    'cond_stage_model.model.positional_embedding': { shape: [2, 2] },
  };
  const steps = (count: bigint): TestTensor => ({
    shape: [],
    dtype: 'I64',
    data: new Uint8Array(BigInt64Array.of(count).buffer),
  });

  it('takes SD 2.x for a v-prediction model, but after the steps of the base model', async () => {
    expect((await checkpointOf(sd2)).kind.scheduler).toMatchObject({ prediction_type: 'v_prediction' });
    const base = await checkpointOf({ ...sd2, global_step: steps(875_000n) });
    expect(base.kind).toMatchObject({ sampleSize: 64, scheduler: { prediction_type: 'epsilon' } });
    const other = await checkpointOf({ ...sd2, global_step: steps(110_000n) });
    expect(other.kind.scheduler).toMatchObject({ prediction_type: 'v_prediction' });
  });

  it('reads the marks of SDXL models that predict v', async () => {
    const { kind } = await checkpointOf({
      [CONV_IN]: { shape: [2, 4, 3, 3] },
      'conditioner.embedders.1.model.positional_embedding': { shape: [2, 2] },
      v_pred: { shape: [] },
      ztsnr: { shape: [] },
    });
    expect(kind.scheduler).toMatchObject({ prediction_type: 'v_prediction', rescale_betas_zero_snr: true });
  });

  it.each([
    [9, 'StableDiffusionInpaintPipeline'],
    [8, 'StableDiffusionInstructPix2PixPipeline'],
  ])('knows a UNet of %i channels', async (channels, className) => {
    const { kind } = await checkpointOf({ [CONV_IN]: { shape: [2, channels, 3, 3] } });
    expect(kind.className).toBe(className);
  });

  it('names tensors that belong nowhere, and not those that are known to be idle', async () => {
    const { strangers } = await checkpointOf({
      [CONV_IN]: { shape: [2, 4, 3, 3] },
      'model.diffusion_model.input_blocks.0.0.bias': { shape: [2] },
      'model_ema.diffusion_modelinput_blocks00weight': { shape: [2] },
      'control.extra.weight': { shape: [1] },
    });
    expect(strangers).toEqual(['control.extra.weight']);
  });
});

describe('refusing', () => {
  it.each([
    ['unknown layouts', { 'a.weight': { shape: [1] }, 'b.weight': { shape: [1] } }, /a\.weight, b\.weight/],
    ['an empty file', {}, /there are none/],
    ['a LoRA', { 'lora_unet_down_blocks_0.lora_down.weight': { shape: [1] } }, /a LoRA.*loadLoraWeights/],
    ['a VAE', { 'first_stage_model.decoder.conv_in.weight': { shape: [1] } }, /a VAE alone.*`vae`/],
    ['FLUX', { 'double_blocks.0.img_attn.norm.key_norm.scale': { shape: [1] } }, /FLUX/],
    [
      'nf4 weights',
      {
        [CONV_IN]: { shape: [1, 4, 3, 3] },
        'model.diffusion_model.a.weight.quant_state.bitsandbytes__nf4': { shape: [1], dtype: 'U8' as const },
      },
      /4-bit \(bitsandbytes\)/,
    ],
    [
      'AWQ weights',
      {
        [CONV_IN]: { shape: [1, 4, 3, 3] },
        'model.diffusion_model.a.qweight': { shape: [1], dtype: 'I32' as const },
      },
      /int4 \(AWQ or GPTQ\)/,
    ],
    [
      'float8 weights with scales',
      { [CONV_IN]: { shape: [1, 4, 3, 3] }, scaled_fp8: { shape: [2], dtype: 'F8_E4M3' as const } },
      /float8 weights with separate scales/,
    ],
    [
      'unCLIP',
      { [CONV_IN]: { shape: [1, 4, 3, 3] }, 'model.diffusion_model.label_emb.0.0.weight': { shape: [1, 2] } },
      /unCLIP/,
    ],
    ['Playground', { [CONV_IN]: { shape: [1, 4, 3, 3] }, edm_mean: { shape: [4] } }, /EDM/],
  ] satisfies [string, Record<string, TestTensor>, RegExp][])('%s', async (_what, tensors, message) => {
    const error: unknown = await checkpointOf(tensors).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FileFormatError);
    expect(String(error)).toMatch(message);
  });

  it('a UNet whose layout says nothing sensible', async () => {
    const checkpoint = await checkpointOf({ [CONV_IN]: { shape: [2, 4, 3, 3] } });
    expect(() => checkpointSource(checkpoint, { resolve: noHub })).toThrow(/no such tensor|too few/);
  });

  it('a component that is not there', async () => {
    const checkpoint = await checkpointOf({ [CONV_IN]: { shape: [2, 4, 3, 3] } });
    const source = checkpointSource(checkpoint, { config: await tinyFolder('tiny-sd'), resolve: noHub });
    await expect(openWeights(source, 'vae')).rejects.toThrow(/has no vae; it has unet.*option `vae`/);
  });
});

describe('files on the Hub', () => {
  const hub = 'https://huggingface.co';
  it.each([
    [`${hub}/a/b/blob/main/x.safetensors`, { id: 'a/b', revision: 'main', path: 'x.safetensors' }],
    [
      `${hub}/a/b/resolve/refs%2Fpr%2F1/s/x.safetensors?download=true`,
      { id: 'a/b', revision: 'refs/pr/1', path: 's/x.safetensors' },
    ],
    ['a/b/x.safetensors', { id: 'a/b', revision: undefined, path: 'x.safetensors' }],
    ['https://example.org/a/b/x.safetensors', undefined],
    ['x.safetensors', undefined],
    ['a/b/../../x.safetensors', undefined],
  ])('%s', (source, expected) => {
    expect(parseHubFile(source, hub)).toEqual(expected);
  });
});
