/** @file Large pictures through VAEs in tiles, against diffusers, and what users set for it. */
import { describe, expect, it } from 'vitest';
import { cpu, DiffusionPipeline } from '../../src/index.ts';
import { parseAutoencoderKLConfig } from '../../src/loaders/configs/autoencoder-kl.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { normalizesLatents } from '../../src/pipelines/families/families.ts';
import { loadNetwork } from '../../src/pipelines/load/load-network.ts';
import { TINY_VAE } from '../../src/pipelines/image/tiny-vae-part.ts';
import { Vae, vaeGraphs, type VaeConfig } from '../../src/pipelines/image/vae.ts';
import { openNodeFile } from '../../src/platform/node-file-source.ts';
import { toNchw, type ImageShape } from '../../src/tensor/layout.ts';
import { readJson } from '../models/fixtures.ts';
import { fixturePath, openTensorFixture } from '../support/fixtures.ts';
import '../support/nmse.ts';

/** What storing the fixture in float16 leaves. */
const BOUND = 2e-7;

const { parseAutoencoderTinyConfig } = await TINY_VAE.load();
const expected = await openTensorFixture('models/vae-tiles.safetensors');

/** make_vae_tiles.py's `waves`, one image in NHWC order. */
function waves(channels: number, height: number, width: number): Float32Array {
  return Float32Array.from({ length: height * width * channels }, (_, i) => {
    const [c, p] = [i % channels, Math.floor(i / channels)];
    const [y, x] = [Math.floor(p / width), p % width];
    return Math.sin(0.31 * (c + 1) * y + 0.17 * (c + 2) * x + c);
  });
}

/** The last rows and columns of an image in NCHW order, which is what the fixture keeps. */
function corner(data: Float32Array, [, channels, height, width]: ImageShape, name: string): Float32Array {
  const [, , rows, columns] = expected.shape(name);
  const kept: number[] = [];
  for (let c = 0; c < channels; c++)
    for (let y = height - rows; y < height; y++)
      for (let x = width - columns; x < width; x++) kept.push(data[(c * height + y) * width + x]);
  return Float32Array.from(kept);
}

async function openVae(kind: VaeConfig, weights: string): Promise<{ vae: Vae; close: () => Promise<void> }> {
  const backend = await cpu().open();
  if ('reason' in backend) throw new Error(backend.reason);
  const file = await openSafetensors(await openNodeFile(fixturePath(weights)));
  const network = loadNetwork('vae', backend, file, Object.values(vaeGraphs(kind)), { dtype: 'f32' });
  const vae = new Vae(network, kind);
  const close = async (): Promise<void> => {
    vae.dispose();
    backend.dispose();
    await file.close();
  };
  return { vae, close };
}

describe.each<[string, VaeConfig, string, readonly [number, number], readonly [number, number]]>([
  [
    'kl',
    {
      className: 'AutoencoderKL',
      config: parseAutoencoderKLConfig(readJson('pipelines/tiny-sd/vae/config.json'), { file: 'kl' }),
    },
    'pipelines/tiny-sd/vae/diffusion_pytorch_model.safetensors',
    [72, 104],
    [13, 11],
  ],
  [
    'tiny',
    {
      className: 'AutoencoderTiny',
      config: parseAutoencoderTinyConfig(readJson('models/autoencoder-tiny/config.json'), { file: 'tiny' }),
    },
    'models/autoencoder-tiny/model.safetensors',
    [16, 520],
    [72, 4],
  ],
])('%s', (name, kind, weights, [height, width], [rows, columns]) => {
  it('blends its tiles as diffusers does', async () => {
    const { vae, close } = await openVae(kind, weights);
    const { latentChannels, scalingFactor } = kind.config;
    const pixels = { count: 1, height, width, channels: 3, data: waves(3, height, width) };
    const latentShape = [1, latentChannels, rows, columns] as const;
    // `decode` undoes the scaling, which the fixture has none of.
    const latents = toNchw(waves(latentChannels, rows, columns), latentShape).map(
      (value) => value * scalingFactor,
    );
    const whole = await vae.decode(latents, latentShape, false);
    vae.enableTiling();
    vae.enableSlicing();

    const { mean, std } = await vae.encode(pixels);
    const encodedShape = [1, latentChannels, height / 8, width / 8] as const;
    expect(corner(mean, encodedShape, `${name}.mean`)).toMatchNmse(expected.f32(`${name}.mean`), BOUND);
    if (std) expect(corner(std, encodedShape, 'kl.std')).toMatchNmse(expected.f32('kl.std'), BOUND);

    const { shape, data } = await vae.decode(latents, latentShape, false);
    expect(shape).toEqual([1, 8 * rows, 8 * columns, 3]);
    const decodedShape = [1, 3, shape[1], shape[2]] as const;
    const decoded = corner(toNchw(data, decodedShape), decodedShape, `${name}.decoded`);
    expect(decoded).toMatchNmse(expected.f32(`${name}.decoded`), BOUND);
    expect(data).not.toEqual(whole.data);

    vae.disableTiling();
    vae.disableSlicing();
    expect(await vae.decode(latents, latentShape, false)).toEqual(whole);
    await close();
  }, 60_000);
});

it('is set on a pipeline, and slices give what batches give', async () => {
  const pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
    backends: [cpu()],
  });
  const call = { prompt: ['fox', 'a rocket'], numInferenceSteps: 1, seed: 1, outputType: 'np' } as const;
  const together = await pipe({ ...call, height: 64, width: 72 });
  pipe.vae.enableSlicing();
  const sliced = await pipe({ ...call, height: 64, width: 72 });
  expect(sliced.np?.data).toMatchNmse(together.np?.data ?? [], 1e-12);
  pipe.vae.enableTiling();
  const tiled = await pipe({ ...call, height: 64, width: 72 });
  expect(tiled.np?.shape).toEqual(together.np?.shape);
  expect(tiled.np?.data).not.toEqual(sliced.np?.data);
  expect(pipe.vae.className).toBe('AutoencoderKL');
  await pipe.dispose();
}, 60_000);

it('brings latents to the statistics of a VAE where its pipeline does, and never shifts them', async () => {
  const path = 'pipelines/tiny-sd/vae';
  const statistics = { latents_mean: [0.5, -1, 0.25, 0], latents_std: [2, 1, 0.5, 4], shift_factor: 0.1 };
  const json: unknown = Object.assign({}, readJson(`${path}/config.json`), statistics);
  const config = parseAutoencoderKLConfig(json, { file: 'normalized' });
  const kind: VaeConfig = { className: 'AutoencoderKL', config };
  const { vae, close } = await openVae(kind, `${path}/diffusion_pytorch_model.safetensors`);
  const shape = [1, 4, 4, 4] as const;
  const latents = toNchw(waves(4, 4, 4), shape);
  const { scalingFactor } = config;
  const channelOf = (i: number): number => Math.floor(i / 16);
  const plain = latents.map((value) => value * scalingFactor);
  const normalized = latents.map(
    (value, i) =>
      ((value - statistics.latents_mean[channelOf(i)]) * scalingFactor) /
      statistics.latents_std[channelOf(i)],
  );
  expect(vae.scale(latents, shape, false)).toEqual(plain);
  expect(vae.scale(latents, shape, true)).toMatchNmse(normalized, 1e-12);
  const { data } = await vae.decode(plain, shape, false);
  expect((await vae.decode(normalized, shape, true)).data).toMatchNmse(data, 1e-10);
  await close();
});

it.each([
  ['StableDiffusionPipeline', 'image', false, { encoded: false, decoded: false }],
  ['StableDiffusionXLPipeline', 'text', false, { encoded: false, decoded: true }],
  ['StableDiffusionXLPipeline', 'image', true, { encoded: true, decoded: true }],
  ['StableDiffusionXLPipeline', 'inpaint', false, { encoded: false, decoded: true }],
  ['StableDiffusionXLPipeline', 'inpaint', true, { encoded: false, decoded: false }],
] as const)('%s, %s, with ControlNets: %s', (className, kind, controlled, expectedWays) => {
  expect(normalizesLatents(className, kind, controlled)).toEqual(expectedWays);
});
