/** @file `fromSingleFile` gives the pipeline that `fromPretrained` gives, and says what it cannot do. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  ConfigError,
  cpu,
  DiffusionPipeline,
  FileFormatError,
  inspectModel,
  NotFoundError,
  openSingleFile,
  OptionError,
  reference,
  Tokenizer,
  type FromSingleFileOptions,
} from '../../src/index.ts';
import { bufferSource, type ByteSource } from '../../src/loaders/byte-source.ts';
import { readJson } from '../../src/loaders/model-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { COMMIT } from '../loaders/fake-hub.ts';
import { makeSafetensors } from '../loaders/make-safetensors.ts';
import { serveFile, startServer } from '../loaders/http-server.ts';
import { fixturePath } from '../support/fixtures.ts';
import { publishedCheckpoint, TINY_MODELS, tinyCheckpoint, tinyFolder } from '../support/single-file.ts';

const CALL = { prompt: 'a red apple!, 3D', negativePrompt: 'blurry', numInferenceSteps: 2, seed: 3 };
const small = { height: 64, width: 64, outputType: 'np', returnLatents: true } as const;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calotype-single-file-'));
  for (const model of TINY_MODELS)
    await writeFile(join(folder, `${model}.safetensors`), await tinyCheckpoint(model));
});
afterAll(async () => rm(folder, { recursive: true }));

async function draw(pipe: DiffusionPipeline) {
  const { latents, np } = await pipe({ ...CALL, ...small });
  await pipe.dispose();
  return { latents: latents?.data, np: np?.data };
}

describe.each(TINY_MODELS)('%s', (model) => {
  it('draws bit for bit what the folder draws', async () => {
    // The CPU's attention takes heads of 8 channels and more, which tiny-sd21's text encoder does not have.
    const backends = [model === 'tiny-sd21' ? reference() : cpu()];
    const config = await tinyFolder(model);
    const file = join(folder, `${model}.safetensors`);
    const single = await DiffusionPipeline.fromSingleFile(file, { backends, config });
    expect(single.notices).toEqual([]);
    const whole = await DiffusionPipeline.fromPretrained(config, { backends });
    expect(single.className).toBe(whole.className);
    expect(single.scheduler.config).toEqual(whole.scheduler.config);
    const expected = await draw(whole);
    expect(expected.np?.some((value) => value > 0 && value < 1)).toBe(true);
    expect(await draw(single)).toEqual(expected);
  }, 120_000);
});

it('reads no more than a tensor at a time', async () => {
  const bytes = await tinyCheckpoint('tiny-sd');
  const whole = bufferSource('tiny.safetensors', bytes);
  const reads: number[] = [];
  const source: ByteSource = {
    ...whole,
    read: async (offset, length, signal) => {
      reads.push(length);
      return whole.read(offset, length, signal);
    },
  };
  const config = fixturePath('pipelines/tiny-sd');
  const pipe = await DiffusionPipeline.fromSingleFile(source, { backends: [cpu()], config });
  const header = 2;
  expect(reads.splice(0)).toHaveLength(header);
  await draw(pipe);
  const file = await openSafetensors(whole);
  const largest = Math.max(...[...file.names()].map((name) => file.info(name).byteLength));
  expect(Math.max(...reads)).toBeLessThanOrEqual(largest);
  expect(largest).toBeLessThan(bytes.length / 10);
});

describe('a VAE of its own', () => {
  it('is taken from a file in either layout, with the configuration of the model', async () => {
    const backends = [cpu()];
    const model = fixturePath('pipelines/tiny-sd');
    const load = async (vae?: string) =>
      draw(await DiffusionPipeline.fromPretrained(model, { backends, ...(vae && { vae }) }));
    // A checkpoint holds its VAE in the original layout; SDXL's tiny VAE has other weights.
    const original = await load(join(folder, 'tiny-sdxl.safetensors'));
    const diffusers = await load(fixturePath('pipelines/tiny-sdxl/vae/diffusion_pytorch_model.safetensors'));
    const own = await load();
    expect(original).toEqual(diffusers);
    expect(original.latents).toEqual(own.latents);
    expect(original.np).not.toEqual(own.np);
    // A folder brings its own configuration, here another scaling factor.
    expect((await load(fixturePath('pipelines/tiny-sdxl/vae'))).np).not.toEqual(original.np);
    expect(await load(fixturePath('pipelines/tiny-sdxl'))).toEqual(
      await load(fixturePath('pipelines/tiny-sdxl/vae')),
    );
  }, 120_000);

  it('may be of another class', async () => {
    const pipe = await DiffusionPipeline.fromSingleFile(join(folder, 'tiny-sd.safetensors'), {
      backends: [reference()],
      config: fixturePath('pipelines/tiny-sd'),
      vae: fixturePath('models/autoencoder-tiny'),
    });
    await pipe.dispose();
  });

  it('must be one', async () => {
    const vae = fixturePath('models/autoencoder-tiny/model.safetensors');
    const options = { backends: [reference()], vae };
    await expect(DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), options)).rejects.toThrow(
      /holds no AutoencoderKL/,
    );
  });
});

describe('tokenizers', () => {
  const sd2 = async (options: FromSingleFileOptions) =>
    openSingleFile(bufferSource('a', await tinyCheckpoint('tiny-sd21')), {
      config: await tinyFolder('tiny-sd21'),
      ...options,
    });

  it('come from any CLIP vocabulary, with the padding of the kind', async () => {
    for (const tokenizer of [fixturePath('pipelines/tiny-sd'), fixturePath('pipelines/tiny-sd/tokenizer')]) {
      const { model } = await sd2({ tokenizer });
      expect(await readJson(model, 'tokenizer/tokenizer_config.json')).toMatchObject({ pad_token: '!' });
      expect(await model.exists('tokenizer/vocab.json')).toBe(true);
      expect(await model.exists('tokenizer/tokenizer.json')).toBe(false);
    }
    const { model } = await sd2({ tokenizer: fixturePath('pipelines/tiny-sdxl/tokenizer_2') });
    expect(await model.exists('tokenizer/tokenizer.json')).toBe(true);
    await expect(
      (await sd2({ tokenizer: fixturePath('image') })).model.exists('tokenizer/vocab.json'),
    ).rejects.toThrow(/no CLIP vocabulary/);
  });

  it('come from the Hub repository published with the kind', async () => {
    const repository = 'stable-diffusion-v1-5/stable-diffusion-v1-5';
    const hub = await startServer((request, response) => {
      const [, name = ''] = /\/tokenizer\/([\w.]+)$/.exec(request.path) ?? [];
      if (
        !request.path.startsWith(`/${repository}/`) ||
        !['vocab.json', 'merges.txt', 'tokenizer_config.json'].includes(name)
      ) {
        response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
        return;
      }
      const content = readFileSync(fixturePath(`pipelines/tiny-sd/tokenizer/${name}`));
      const etag = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
      serveFile(request, response, content, { etag: `"${etag}"`, headers: { 'x-repo-commit': COMMIT } });
    });
    vi.stubEnv('HF_ENDPOINT', hub.url);
    vi.stubEnv('HF_HUB_CACHE', join(folder, 'cache'));
    try {
      const { model } = await openSingleFile(publishedCheckpoint('sd15'));
      const tokenizer = await Tokenizer.fromPretrained(model, 'tokenizer');
      expect(tokenizer.padTokenId).toBe(641);
      expect(tokenizer.encode('a red apple').ids).toHaveLength(77);
      // Nothing but the tokenizer is asked for.
      expect(hub.seen.filter(({ path }) => !path.includes('/tokenizer/'))).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
      await hub.close();
    }
  });

  it('that cannot be had are an error with the ways out', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    vi.stubEnv('HF_HUB_CACHE', join(folder, 'no-cache'));
    const { model } = await openSingleFile(publishedCheckpoint('sd15'));
    const error: unknown = await model.open('tokenizer/vocab.json').catch((thrown: unknown) => thrown);
    vi.unstubAllEnvs();
    expect(error).toBeInstanceOf(NotFoundError);
    expect(String(error)).toMatch(/stable-diffusion-v1-5.*option `tokenizer`.*`config`/);
  });
});

it.each([
  ['sd15-inpainting', 'StableDiffusionPipeline', 3],
  ['sdxl-refiner-1.0', 'StableDiffusionXLPipeline', 3],
])('%s is taken as what it is', async (name, className, networks) => {
  const { model } = await openSingleFile(publishedCheckpoint(name));
  const backend = await reference().open();
  if ('reason' in backend) throw new Error(backend.reason);
  const report = await inspectModel(model, { target: backend.target('f32'), steps: 2 });
  expect(report).toMatchObject({ className });
  expect(report.networks).toHaveLength(networks);
  backend.dispose();
});

describe('refusing', () => {
  it('a model of a kind that is not supported, by its name', async () => {
    const shape = [320, 8, 3, 3];
    const name = 'model.diffusion_model.input_blocks.0.0.weight';
    const bytes = makeSafetensors({ [name]: { dtype: 'F8_E4M3', shape } });
    const error: unknown = await openSingleFile(bufferSource('pix2pix.safetensors', bytes)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/InstructPix2Pix model.*StableDiffusionInstructPix2PixPipeline/);
  });

  it.each([
    ['model.ckpt', Buffer.from('PK\x03\x04 and more that is long enough'), /pickle/],
    ['model.gguf', Buffer.from('GGUF and more that is long enough'), /GGUF/],
  ])('%s', async (name, content, message) => {
    await writeFile(join(folder, name), content);
    const error: unknown = await DiffusionPipeline.fromSingleFile(join(folder, name)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(FileFormatError);
    expect(String(error)).toMatch(message);
  });

  it('files that are not there, options that do not exist, and folders for files', async () => {
    await expect(DiffusionPipeline.fromSingleFile('./no.safetensors')).rejects.toThrow(NotFoundError);
    await expect(DiffusionPipeline.fromSingleFile('no.safetensors')).rejects.toThrow(/owner\/name\/file/);
    const options: object = { variant: 'fp16' };
    await expect(DiffusionPipeline.fromSingleFile('a.safetensors', options)).rejects.toThrow(OptionError);
    await expect(DiffusionPipeline.fromPretrained(join(folder, 'tiny-sd.safetensors'))).rejects.toThrow(
      /fromSingleFile/,
    );
  });
});

it('is inspected like a folder, by its header alone', async () => {
  const { model } = await openSingleFile(publishedCheckpoint('sd15'));
  const backend = await reference().open();
  if ('reason' in backend) throw new Error(backend.reason);
  const report = await inspectModel(model, { target: backend.target('f32'), steps: 2 });
  expect(report.className).toBe('StableDiffusionPipeline');
  expect(report.networks).toHaveLength(3);
  backend.dispose();
});
