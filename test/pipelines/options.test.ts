/** @file Bad options are refused by name before anything runs; what a call promises besides pictures. */

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  cpu,
  DiffusionPipeline,
  EulerDiscreteScheduler,
  OptionError,
  reference,
  type CallOptions,
  type CalotypeImage,
  webgpu,
} from '../../src/index.ts';
import { ReferenceProgram } from '../../src/backends/reference/program.ts';
import { fixturePath } from '../support/fixtures.ts';
import '../support/nmse.ts';

let pipe: DiffusionPipeline;
beforeAll(async () => {
  pipe = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
    backends: [reference()],
  });
});
afterAll(() => pipe.dispose());

const small = {
  prompt: 'fox',
  height: 64,
  width: 64,
  numInferenceSteps: 2,
  seed: 1,
  outputType: 'latent',
} as const;
const tensor = (...shape: number[]): { shape: number[]; data: Float32Array } => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

/** A grey picture. */
const picture = (width: number, height: number): CalotypeImage => ({
  width,
  height,
  data: new Uint8ClampedArray(width * height * 4).fill(128),
});

const crop = {
  image: picture(64, 64),
  maskImage: picture(64, 64),
  paddingMaskCrop: 4,
  outputType: 'image',
} as const;

describe('bad options', () => {
  /** Options as a program without types could give them. */
  const untyped = (options: object): CallOptions => ({ ...small, ...options });

  it.each([
    ['height', { height: 250 }, /250 is not a multiple of 8\. Use 248/],
    ['width', { width: -64 }, /-64 is not a whole number/],
    ['width', { width: 4096 * 1024 }, /from 8 to 65536/],
    ['numInferenceSteps', { numInferenceSteps: -3 }, /-3/],
    ['numInferenceSteps', { numInferenceSteps: 2.5 }, /2\.5/],
    ['guidanceScale', { guidanceScale: Number.NaN }, /NaN is not a number/],
    ['guidanceRescale', { guidanceRescale: 1.5 }, /from 0 to 1/],
    ['eta', { eta: -1 }, /-1/],
    ['numImagesPerPrompt', { numImagesPerPrompt: 0 }, /0 is not/],
    ['clipSkip', { clipSkip: -1 }, /-1/],
    ['clipSkip', { clipSkip: 40 }, /only \d+ layers/],
    ['guidenceScale', { guidenceScale: 4 }, /Did you mean guidanceScale/],
    [
      'prompt2',
      { prompt2: 'only SDXL takes it' },
      /no such option.*use a model for StableDiffusionXLPipeline/,
    ],
    ['prompt', { prompt: 7 }, /neither a string nor a list/],
    ['prompt', { prompt: undefined }, /exactly one of prompt and promptEmbeds/],
    ['outputType', { outputType: 'pil' }, /"pil" is not an output type/],
    ['originalInferenceSteps', { originalInferenceSteps: 4 }, /a model for LatentConsistencyModelPipeline/],
    ['aestheticScore', { aestheticScore: 6 }, /a model for SDXL's refiner/],
    ['seed', { seed: 1.5 }, /1\.5 is no seed/],
    ['seed', { seed: '7' }, /"7" is no seed/],
    ['seed', { seed: null }, /null is no seed/],
    ['seed', { seed: [] }, /\[\] is no seed/],
    ['seed', { seed: { seed: 7, device: 'mps' } }, /"mps"} is no seed/],
    ['timesteps', { timesteps: [] }, /no list of numbers/],
    ['sigmas', { sigmas: [1, Number.NaN] }, /no list of numbers/],
    ['callbackOnStepEnd', { callbackOnStepEnd: 'show' }, /type string/],
    ['signal', { signal: {} }, /no AbortSignal/],
    ['returnLatents', { returnLatents: 'yes' }, /neither true nor false/],
    ['resumeFrom', { resumeFrom: null }, /no checkpoint/],
    ['latents', { latents: null }, /no shape/],
    [
      'latents',
      { latents: { shape: [1, 4, 8, 8], data: new Float32Array(256).fill(NaN) } },
      /not all finite/,
    ],
    ['promptEmbeds', { prompt: undefined, promptEmbeds: {} }, /no shape/],
    ['hires.height', { hires: { height: 100, width: 128 } }, /100 is not a multiple of 8\. Use 104/],
    ['hires.strength', { hires: { scale: 2, strength: 2 } }, /2 is not a number from 0 to 1/],
    ['hires.scale', { hires: { scale: '2' } }, /"2" is not over 1/],
    ['seed', { seed: [1, 2] }, /2 seeds for 1 images/],
    ['latents', { latents: tensor(1, 4, 9, 8) }, /need.*\[1, 4, 8, 8\]/],
    ['latents', { latents: { shape: [1, 4, 8, 8], data: new Float32Array(3) } }, /256 float32 values/],
    ['negativePrompt', { negativePrompt: ['a', 'b'], guidanceScale: 5 }, /2 texts for 1 prompts/],
    ['denoisingEnd', { denoisingEnd: 0.8 }, /no such option/],
    ['originalInferenceSteps', { originalInferenceSteps: 8 }, /no such option/],
    ['timesteps', { timesteps: [1], sigmas: [1, 0] }, /together with sigmas/],
  ])('%s: %o', async (field, options, message) => {
    const run = pipe(untyped(options));
    await expect(run).rejects.toBeInstanceOf(OptionError);
    await expect(run).rejects.toMatchObject({ field });
    await expect(run).rejects.toThrow(message);
  });

  // Their names leave the pixels out.
  it.each<[string, object, RegExp]>([
    ['strength', { image: picture(64, 64), strength: 1.01 }, /1\.01 is not a number from 0 to 1/],
    ['strength', { image: picture(64, 64), strength: 0.2 }, /leaves no step/],
    ['strength', { image: picture(64, 64), maskImage: picture(64, 64), strength: 0 }, /leaves no step/],
    ['strength', { strength: 0.5 }, /without an image/],
    ['maskImage', { maskImage: picture(64, 64) }, /without an image/],
    ['image', { image: 'apple.png' }, /no picture/],
    ['image', { image: null }, /no picture/],
    ['image', { image: [] }, /empty list/],
    ['image', { image: [picture(64, 64), 7] }, /no picture/],
    ['image', { image: { ...picture(64, 64), width: 63.5 } }, /63\.5x64 is not a size/],
    ['image', { image: { ...picture(64, 64), height: 63 } }, /16128 bytes of 64x63/],
    ['image', { image: { width: 1, height: 1, data: [1, 2, 3, 4] } }, /4 bytes/],
    ['image', { image: tensor(1, 64, 64, 4) }, /shape is \[1, 64, 64, 4\]/],
    ['image', { image: tensor(64, 64, 3) }, /shape is/],
    ['image', { image: { shape: 3, data: new Float32Array(3) } }, /list of positive whole numbers/],
    ['image', { image: { shape: [1, 2, 2, 3], data: new Float32Array(3) } }, /12 float32 values/],
    ['image', { image: { shape: [1, 1, 1, 3], data: Float32Array.of(0, 255, 0) } }, /it holds 255/],
    ['image', { image: { shape: [1, 1, 1, 3], data: Float32Array.of(0, NaN, 0) } }, /not all finite/],
    ['image', { image: tensor(1, 4, 9, 8) }, /latents of 9 x 8 are not those of 64 x 64/],
    ['image', { image: [picture(64, 64), picture(64, 64)] }, /2 of them cannot be dealt/],
    ['maskImage', { image: picture(64, 64), maskImage: tensor(1, 64, 64, 3) }, /shape is/],
    ['maskImage', { image: picture(64, 64), maskImage: tensor(2, 64, 64) }, /2 of them cannot be dealt/],
    ['latents', { image: picture(64, 64), latents: tensor(1, 4, 8, 8) }, /together with an image/],
    ['paddingMaskCrop', { image: picture(64, 64), paddingMaskCrop: 4 }, /without a mask/],
    ['paddingMaskCrop', { ...crop, paddingMaskCrop: -1 }, /-1 is not a whole number/],
    ['paddingMaskCrop', { ...crop, outputType: 'np' }, /are pictures/],
    ['paddingMaskCrop', { ...crop, image: tensor(1, 64, 64, 3) }, /one picture and one mask/],
    ['maskImage', { ...crop, maskImage: picture(64, 72) }, /64x72 pixels, the image 64x64/],
  ])('%s, with images', async (field, options, message) => {
    const run = pipe(untyped(options));
    await expect(run).rejects.toBeInstanceOf(OptionError);
    await expect(run).rejects.toMatchObject({ field });
    await expect(run).rejects.toThrow(message);
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a prompt by itself', 'a red apple'],
    ['a list', [small]],
  ])('%s is no options', async (_what, options) => {
    // As a program without types would call it.
    const call: (options: unknown) => Promise<unknown> = Function.prototype.call.bind(pipe, undefined);
    for (const refused of [call(options), pipe.stream(options as CallOptions).next()])
      await expect(refused).rejects.toMatchObject({ code: 'option', field: 'StableDiffusionPipeline' });
  });

  it.each<[string, unknown]>([
    ['a name', 'euler'],
    ['a class', EulerDiscreteScheduler],
    ['nothing', undefined],
  ])('%s is no scheduler', (_what, scheduler) => {
    const before = pipe.scheduler;
    expect(() => Reflect.set(pipe, 'scheduler', scheduler)).toThrow(/scheduler: it is no scheduler/);
    expect(pipe.scheduler).toBe(before);
  });

  it.each<[string, object, RegExp]>([
    ['dtype', { dtype: 'float16' }, /there is no "float16"\. Use one of auto, f16, bf16, f32/],
    ['vaeUpcast', { vaeUpcast: 'some' }, /there is no "some"\. Use one of whole, overflow/],
    ['dtype.vae', { dtype: { vae: 'half' } }, /there is no "half"/],
    ['textEncoder2', { dtype: { textEncoder2: 'f32' } }, /Did you mean textEncoder\?/],
    ['backends', { backends: 'cpu' }, /no list of backends/],
    ['backends', { backends: [reference] }, /no list of backends/],
    ['onProgress', { onProgress: true }, /type boolean/],
    ['signal', { signal: 'now' }, /no AbortSignal/],
    ['revision', { revision: 3 }, /no text/],
  ])('%s of fromPretrained is refused', async (field, options, message) => {
    const load = DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), options);
    await expect(load).rejects.toMatchObject({ code: 'option', field });
    await expect(load).rejects.toThrow(message);
  });

  it.each<[string, (source: never) => Promise<unknown>]>([
    ['fromPretrained', (source) => DiffusionPipeline.fromPretrained(source)],
    ['fromSingleFile', (source) => DiffusionPipeline.fromSingleFile(source)],
    ['loadLoraWeights', (source) => pipe.loadLoraWeights(source)],
    ['loadTextualInversion', (source) => pipe.loadTextualInversion(source)],
    ['loadIpAdapter', (source) => pipe.loadIpAdapter(source)],
  ])('%s wants to know of what', async (_name, load) => {
    for (const source of [undefined, null, 3, '', {}])
      await expect(load(source as never)).rejects.toMatchObject({ code: 'option', field: 'source' });
  });

  it('of backends are refused', () => {
    const misspelt: object = { thread: 2 };
    expect(() => cpu(misspelt)).toThrow(/thread: cpu has no such option\. Did you mean threads\?/);
    expect(() => cpu({ simd: 'avx' as never })).toThrow(/simd: "avx" is no build/);
    expect(() => cpu({ memoryLimit: -1 })).toThrow(/memoryLimit: -1 is no number of bytes/);
    const adapter: object = { adapter: 'cpu' };
    expect(() => webgpu(adapter)).toThrow(/adapter: "cpu" is none of its values/);
    const power: object = { power: 'low' };
    expect(() => webgpu(power)).toThrow(/webgpu has no such option/);
  });

  it('of fromPretrained are refused too', async () => {
    const misspelt: object = { backend: [reference()] };
    await expect(
      DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), misspelt),
    ).rejects.toThrow(/Did you mean backends\?/);
  });
});

describe('a call', () => {
  it('is repeatable, and other seeds give other pictures', async () => {
    const [a, b, c] = [await pipe(small), await pipe(small), await pipe({ ...small, seed: 2 })];
    expect(a.latents!.data).toEqual(b.latents!.data);
    expect(c.latents!.data).not.toEqual(a.latents!.data);
  });

  it('draws a seed where none is given, and tells it', async () => {
    const { seed: _seed, ...unseeded } = small;
    const first = await pipe(unseeded);
    const again = await pipe({ ...small, seed: first.options.seed });
    expect(again.latents!.data).toEqual(first.latents!.data);
  });

  it('tells the options that it used', async () => {
    const { options } = await pipe(small);
    const defaults = { guidanceRescale: 0, eta: 0, numImagesPerPrompt: 1 };
    expect(options).toMatchObject({ ...defaults, ...small });
    expect(options).not.toHaveProperty('signal');
  });

  it('takes initial latents in place of noise', async () => {
    const shape = [1, 4, 8, 8];
    const noise = (await import('../../src/index.ts')).Generator;
    const data = new noise(1).randn(shape);
    expect((await pipe({ ...small, seed: 99, latents: { shape, data } })).latents!.data).toEqual(
      (await pipe(small)).latents!.data,
    );
  });

  it('takes seeds image by image', async () => {
    const both = await pipe({ ...small, numImagesPerPrompt: 2, seed: [5, 6] });
    const [five, six] = [await pipe({ ...small, seed: 5 }), await pipe({ ...small, seed: 6 })];
    expect(both.latents!.data.subarray(0, 256)).toMatchNmse(five.latents!.data, 1e-12);
    expect(both.latents!.data.subarray(256)).toMatchNmse(six.latents!.data, 1e-12);
  });

  it('waits for the one before it', async () => {
    const [a, b] = await Promise.all([pipe(small), pipe({ ...small, seed: 2 })]);
    expect(b.latents!.data).toEqual((await pipe({ ...small, seed: 2 })).latents!.data);
    expect(a.latents!.data).not.toEqual(b.latents!.data);
  });

  it('takes the size of an image, rounded down, and tells the strength', async () => {
    const { options, latents } = await pipe({
      prompt: 'fox',
      numInferenceSteps: 4,
      seed: 1,
      outputType: 'latent',
      image: picture(79, 66),
    });
    expect(options).toMatchObject({ width: 72, height: 64, strength: 0.8 });
    expect(latents!.shape).toEqual([1, 4, 8, 9]);
  });

  it('keeps what is outside the mask, and records the step once', async () => {
    const image = tensor(1, 4, 8, 8);
    image.data.fill(0.25);
    const maskImage = tensor(1, 64, 64);
    maskImage.data.fill(1, 0, 64 * 32);
    const run = () => pipe({ ...small, image, maskImage });
    const { latents } = await run();
    expect(latents!.data.subarray(32, 64)).toEqual(image.data.subarray(32, 64));
    expect(latents!.data.subarray(0, 32)).not.toEqual(image.data.subarray(0, 32));
  });

  it('records nothing for another mask, image, strength or seed', async () => {
    const backend = await reference().open();
    if ('reason' in backend) throw new Error(backend.reason);
    const compile = vi.spyOn(backend, 'compile');
    const other = await DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), {
      backends: [{ name: 'spied', open: () => Promise.resolve(backend) }],
    });
    try {
      await other({ ...small, image: picture(64, 64), maskImage: picture(64, 64), strength: 1 });
      const before = compile.mock.calls.length;
      const [image, maskImage] = [picture(90, 70), tensor(1, 64, 64)];
      await other({ ...small, image, maskImage, numInferenceSteps: 4, strength: 0.5, seed: 9 });
      expect(compile.mock.calls.length).toBe(before);
    } finally {
      await other.dispose();
    }
  });

  it('gives pictures, floats or latents', async () => {
    const { images } = await pipe({ ...small, outputType: 'image' });
    expect(images[0]).toMatchObject({ width: 64, height: 64 });
    const { np } = await pipe({ ...small, outputType: 'np' });
    expect(np!.shape).toEqual([1, 64, 64, 3]);
    expect(Math.round(np!.data[0] * 255)).toBeCloseTo(images[0].data[0], -0.5);
  });
});

describe('a stream', () => {
  it('gives a step after the other, previews and the result', async () => {
    const stream = pipe.stream(small);
    const seen: number[] = [];
    for await (const step of stream) {
      seen.push(step.index);
      await step.finished;
      expect(step.total).toBe(2);
      expect((await step.preview())[0]).toMatchObject({ width: 8, height: 8 });
      expect((await step.latents()).shape).toEqual([1, 4, 8, 8]);
    }
    expect(seen).toEqual([0, 1]);
    expect((await stream.output).latents!.data).toEqual((await pipe(small)).latents!.data);
  });

  it('can be left early, and the pipeline goes on working', async () => {
    const stream = pipe.stream(small);
    for await (const step of stream) if (step.index === 0) break;
    await expect(stream.output).rejects.toThrow(/left before its last step/);
    await expect(pipe(small)).resolves.toBeDefined();
  });

  it('stops within a step when aborted', async () => {
    const abort = new AbortController();
    let steps = 0;
    const stop = async (): Promise<void> => {
      for await (const step of pipe.stream({ ...small, numInferenceSteps: 50, signal: abort.signal })) {
        steps = step.index;
        if (step.index === 1) abort.abort(new Error('enough'));
      }
    };
    await expect(stop()).rejects.toThrow('enough');
    expect(steps).toBe(1);
  });

  it.each<[string, RegExp, Partial<CallOptions>]>([
    ['the prompt is encoded', /hidden_states/, {}],
    ['the picture is encoded', /^mean$/, { image: picture(64, 64), strength: 1 }],
    ['the last step ends', /^state$/, {}],
    ['the picture is decoded', /^image$/, { outputType: 'image' }],
  ])('does not wait until %s when aborted, and the pipeline goes on working', async (what, awaited, more) => {
    const abort = new AbortController();
    // One that no other test has had encoded: those are kept.
    const call = { ...small, ...more, prompt: what };
    const read = Object.getOwnPropertyDescriptor(ReferenceProgram.prototype, 'read')!.value as (
      this: ReferenceProgram,
      name: string,
    ) => Promise<Float32Array>;
    const reading = vi.spyOn(ReferenceProgram.prototype, 'read').mockImplementation(function (
      this: ReferenceProgram,
      name,
    ) {
      if (!awaited.test(name)) return read.call(this, name);
      abort.abort(new Error('enough'));
      return new Promise(() => undefined);
    });
    try {
      await expect(pipe({ ...call, signal: abort.signal })).rejects.toThrow('enough');
    } finally {
      reading.mockRestore();
    }
    await expect(pipe(call)).resolves.toHaveProperty('options');
  });

  it('calls back after each step', async () => {
    const timesteps: number[] = [];
    await pipe({ ...small, callbackOnStepEnd: ({ timestep }) => void timesteps.push(timestep) });
    expect(timesteps).toEqual(pipe.scheduler.timesteps);
  });
});

describe('the pipeline', () => {
  it('says what it is', () => {
    expect(pipe.className).toBe('StableDiffusionPipeline');
    expect(pipe.backend.name).toBe('reference');
    expect(pipe.recommended).toEqual({});
  });

  it('refuses a backend that cannot be opened, with the reasons', async () => {
    const absent = {
      name: 'absent',
      open: () => Promise.resolve({ backend: 'absent', reason: 'not here', remedy: 'buy one' }),
    };
    await expect(
      DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), { backends: [absent] }),
    ).rejects.toMatchObject({ code: 'backend-unavailable', attempts: [{ reason: 'not here' }] });
  });
});

describe('dtype', () => {
  it('f16 is refused where the backend has none', async () => {
    const f16 = { backends: [reference()], dtype: 'f16' } as const;
    const loading = DiffusionPipeline.fromPretrained(fixturePath('pipelines/tiny-sd'), f16);
    await expect(loading).rejects.toMatchObject({ code: 'option', field: 'dtype' });
  });
});
