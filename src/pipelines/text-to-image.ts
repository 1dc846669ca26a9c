/**
 * @file Text to image: encode the prompts, denoise step by step, decode. One async generator serves the plain call,
 * progress, previews and cancelling.
 */

import { OptionError } from '../errors.ts';
import { toImages, toUnitRange, type CalotypeImage } from '../image/image.ts';
import { previewLatents } from '../image/preview.ts';
import { Generator } from '../random/generator.ts';
import type { NoiseSource } from '../random/noise-source.ts';
import { PhiloxGenerator } from '../random/philox.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import { batchPrompts, type Conditioner } from './conditioning.ts';
import type { Denoiser } from './denoiser.ts';
import { guidanceEmbedding } from './guidance-embedding.ts';
import type { ProgramOptions } from './network.ts';
import type { CheckedOptions, Seed, StepInfo, Tensor } from './options.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { Vae } from './vae.ts';

/** Seconds that each phase of a call took. */
export interface Timings {
  /** Reading weights to the device and compiling programs that were not cached. */
  compile: number;
  /** Encoding the prompts. */
  encode: number;
  denoise: number;
  decode: number;
}

/** Result of a call. */
export interface PipelineOutput {
  /** For outputType 'image'. */
  readonly images: readonly CalotypeImage[];
  /** For outputType 'np': [images, height, width, 3], values in 0..1. */
  readonly np?: Tensor;
  /** For outputType 'latent' or with returnLatents: [images, channels, height / 8, width / 8]. */
  readonly latents?: Tensor;
  /** The seed that was used, drawn at random if none was given. */
  readonly seed: Seed | readonly Seed[];
  /** Ends of prompts that were too long for the text encoder and had no effect. */
  readonly truncatedPrompts: readonly string[];
  readonly timings: Timings;
}

/** One step, queued on the device. */
export interface DenoisingStep extends StepInfo {
  /** Resolves when the device has finished this step. */
  readonly finished: Promise<void>;
  /** The latents after this step; ask before taking the next step. */
  latents(): Promise<Tensor>;
  /** Small pictures of what the latents will become (one pixel for each), computed without the VAE. */
  preview(): Promise<readonly CalotypeImage[]>;
}

/** The parts that a text-to-image call works with. */
export interface TextToImageParts {
  readonly conditioner: Conditioner;
  readonly denoiser: Denoiser;
  readonly unet: UNet2DConditionConfig;
  readonly vae: Vae;
  readonly scheduler: Scheduler;
  readonly idle: () => Promise<void>;
}

/** Steps queued on the device before the host waits. */
const QUEUED_STEPS = 2;

/** Runs one checked call. */
export async function* textToImage(
  parts: TextToImageParts,
  options: CheckedOptions,
  programs: ProgramOptions,
): AsyncGenerator<DenoisingStep, PipelineOutput, void> {
  const { conditioner, denoiser, unet, vae, scheduler } = parts;
  const { signal, guidanceScale, guidanceRescale, numImagesPerPrompt } = options;
  const watch = new Stopwatch();
  // A network with a guidance embedding (LCM) is guided by it and runs once a step.
  const guided = guidanceScale > 1 && unet.timeCondProjDim === null;

  const { timesteps, sigmas } = options;
  if (timesteps) scheduler.setTimesteps(undefined, { timesteps });
  else if (sigmas) scheduler.setTimesteps(undefined, { sigmas });
  else scheduler.setTimesteps(options.numInferenceSteps);
  const steps = scheduler.steps({ eta: options.eta });

  const prompts = await conditioner.encode(options, guided, programs);
  watch.lap('encode');
  const images = prompts.positive.length * numImagesPerPrompt;
  const rows = (guided ? 2 : 1) * images;
  const [height, width] = [options.height / vae.scaleFactor, options.width / vae.scaleFactor];
  const shape = [images, unet.outChannels, height, width] as const;
  const seed = options.seed ?? randomSeed();
  const draw = noiseDrawer(seed, shape);
  const initial = initialLatents(options.latents, shape, draw);

  const session = await denoiser.prepare(
    {
      guided,
      rescale: guided && guidanceRescale > 0,
      slots: scheduler.slots,
      noise: steps.some((step) => step.usesNoise),
      microConditions: conditioner.microConditions,
      images,
      height,
      width,
      tokens: prompts.tokens,
    },
    steps.length,
    programs,
  );
  if (options.outputType !== 'latent') await vae.prepare(shape, programs);
  watch.lap('compile');

  session.setPrompt({
    ...batchPrompts(prompts, numImagesPerPrompt),
    ...conditioner.inputs(options, guided, rows),
    ...(unet.timeCondProjDim !== null && {
      timestep_cond: guidanceEmbedding(guidanceScale - 1, unet.timeCondProjDim, images),
    }),
  });
  session.setSchedule(steps, { scale: guidanceScale, rescale: guidanceRescale });
  session.setLatents(initial.map((value) => value * scheduler.initNoiseSigma));

  const queued: Promise<void>[] = [];
  for (const [index, step] of steps.entries()) {
    signal?.throwIfAborted();
    session.step(index, step.usesNoise ? draw() : undefined);
    const finished = parts.idle();
    // It is awaited below or by whoever stops early; an error must not count as unhandled meanwhile.
    finished.catch(() => undefined);
    queued.push(finished);
    if (queued.length >= QUEUED_STEPS) await queued.shift();
    const info: StepInfo = { index, total: steps.length, timestep: step.timestep };
    const latents = async (): Promise<Tensor> => ({ shape, data: await session.readLatents() });
    yield {
      ...info,
      finished,
      latents,
      preview: async () => previewLatents(await latents(), conditioner.microConditions > 0 ? 'sdxl' : 'sd'),
    };
    if (options.callbackOnStepEnd) {
      await finished;
      await options.callbackOnStepEnd(info);
    }
  }
  const final = await session.readLatents();
  signal?.throwIfAborted();
  watch.lap('denoise');

  const latents: Tensor = { shape, data: final };
  const wantsLatents = options.outputType === 'latent' || options.returnLatents === true;
  const base = {
    seed,
    truncatedPrompts: prompts.truncated,
    timings: watch.timings,
    ...(wantsLatents && { latents }),
  };
  if (options.outputType === 'latent') return { ...base, images: [] };
  const decoded = await vae.decode(final, shape, programs);
  signal?.throwIfAborted();
  watch.lap('decode');
  if (options.outputType === 'np')
    return { ...base, images: [], np: { shape: decoded.shape, data: decoded.data.map(toUnitRange) } };
  return { ...base, images: toImages(decoded) };
}

class Stopwatch {
  readonly timings: Timings = { compile: 0, encode: 0, denoise: 0, decode: 0 };
  #last = performance.now();

  /** Adds the time since the last lap to a phase. */
  lap(phase: keyof Timings): void {
    const now = performance.now();
    this.timings[phase] += (now - this.#last) / 1000;
    this.#last = now;
  }
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** Draws noise for all images: from one generator, or image by image from a generator each, as diffusers does. */
function noiseDrawer(
  seed: Seed | readonly Seed[],
  shape: readonly [number, number, number, number],
): () => Float32Array {
  const open = (one: Seed): NoiseSource =>
    typeof one === 'number'
      ? new Generator(one)
      : one.device === 'cuda'
        ? new PhiloxGenerator(one.seed)
        : new Generator(one.seed);
  const [images, ...rest] = shape;
  if (!isList(seed)) {
    const source = open(seed);
    return () => source.randn(shape);
  }
  if (seed.length !== images)
    throw new OptionError(`it has ${seed.length} seeds for ${images} images`, {
      field: 'seed',
      remedy: `Give one seed, or ${images}`,
    });
  const sources = seed.map(open);
  return () => {
    const size = rest.reduce((a, b) => a * b, 1);
    const out = new Float32Array(images * size);
    sources.forEach((source, i) => out.set(source.randn([1, ...rest]), i * size));
    return out;
  };
}

function isList(seed: Seed | readonly Seed[]): seed is readonly Seed[] {
  return Array.isArray(seed);
}

/** Given latents do not move the generator on, as in diffusers. */
function initialLatents(
  given: Tensor | undefined,
  shape: readonly number[],
  draw: () => Float32Array,
): Float32Array {
  if (!given) return draw();
  if (given.shape.length !== shape.length || given.shape.some((size, i) => size !== shape[i]))
    throw new OptionError(`they are [${given.shape.join(', ')}], but this call needs [${shape.join(', ')}]`, {
      field: 'latents',
      remedy: 'Give latents of that shape, or change height, width or the number of images',
    });
  return given.data;
}
