/**
 * @file Text to image, image to image and inpainting: encode the prompts and the image, denoise step by step, decode.
 * One async generator serves the plain call, progress, previews and cancelling.
 */

import { toImages, toUnitRange, type CalotypeImage, type DecodedPixels } from '../image/image.ts';
import { previewLatents } from '../image/preview.ts';
import { repaintSteps } from '../schedulers/repaint.ts';
import type { NoiseCoefficients, Scheduler } from '../schedulers/scheduler.ts';
import { batchPrompts, stack, type Conditioner } from './prompt/conditioning.ts';
import { denoiseShape, phasesOf, promptCount, type CallShape } from './memory/call-memory.ts';
import { CONTROL_SCALES } from './control/control-graph.ts';
import type { Control } from './control/control.ts';
import type { Denoiser } from './denoise/denoiser.ts';
import type { LatentModel } from './denoise/denoiser-config.ts';
import { guidanceRows } from './guidance/guidance-rows.ts';
import { guidanceEmbedding } from './guidance/guidance-embedding.ts';
import { isInpaintingUNet, type Task } from './options/image-options.ts';
import type { ImagePrompts } from './ip-adapter/image-prompts.ts';
import type { UsedAdapter } from './lora/lora-adapters.ts';
import type { ProgramOptions } from './network.ts';
import { openNoise, randomSeed } from './noise.ts';
import type { CheckedOptions, Seed, StepInfo, Tensor } from './options/call-options.ts';
import type { FreeUScales } from '../models/blocks/unet-blocks.ts';
import type { PipelineClass } from '../loaders/configs/model-index.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { Residency } from './memory/residency.ts';
import { scheduleRun, type RunSchedule } from './schedule.ts';
import { prepareStart } from './start.ts';
import { guidanceCoefficients, perturbedBlocks, perturbedInputs } from './guidance/perturbed-guidance.ts';
import type { Vae } from './image/vae.ts';

/** Seconds that each phase of a call took. */
export interface Timings {
  /** Reading weights to the device and compiling programs that were not cached. */
  compile: number;
  /** Encoding the prompts and the image. */
  encode: number;
  denoise: number;
  decode: number;
}

/** What a call ran with: the same options make the same pictures. */
export type UsedOptions = Omit<CheckedOptions, 'signal' | 'callbackOnStepEnd' | 'seed'> & {
  readonly seed: Seed | readonly Seed[];
};

/** Bytes that a call took. */
export interface UsedMemory {
  readonly peakDeviceBytes: number;
  /** Of the host's memory, what the device reaches. */
  readonly peakHostBytes: number;
}

/** Result of a call. */
export interface PipelineOutput {
  /** For outputType 'image'. */
  readonly images: readonly CalotypeImage[];
  /** For outputType 'np': [images, height, width, 3], values in 0..1. */
  readonly np?: Tensor;
  /** For outputType 'latent' or with returnLatents: [images, channels, height / 8, width / 8]. */
  readonly latents?: Tensor;
  /** The options that were used: those given, defaults, and the seed that was drawn if none was given. */
  readonly options: UsedOptions;
  /** The LoRA adapters that were active. */
  readonly adapters: readonly UsedAdapter[];
  /** The most bytes that the backend held during the call, where it counts them. */
  readonly memory?: UsedMemory;
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

/** The parts that a call works with. */
export interface TextToImageParts {
  readonly className: PipelineClass;
  readonly conditioner: Conditioner;
  readonly denoiser: Denoiser;
  readonly unet: LatentModel;
  /** Absent where the network is a transformer. */
  readonly unetConfig: UNet2DConditionConfig | undefined;
  readonly vae: Vae;
  readonly scheduler: Scheduler;
  /** The x4 upscaler's. */
  readonly lowResScheduler: Scheduler | undefined;
  /** The ControlNets of the call, if they take part. */
  readonly control: Control | undefined;
  /** Absent without a budget of memory. */
  readonly residency: Residency | undefined;
  /** The image prompts of the call, if IP-Adapters take part. */
  readonly imagePrompts: ImagePrompts | undefined;
  /** FreeU's factors, if it is on. */
  readonly freeU: readonly FreeUScales[] | undefined;
  readonly idle: () => Promise<void>;
  /** Brings decoded pictures to the size asked for, where they are drawn at another. */
  readonly fit?: (decoded: DecodedPixels) => DecodedPixels;
}

/** Steps queued on the device before the host waits. */
const QUEUED_STEPS = 2;

/** Runs one checked call. */
export async function* draw(
  parts: TextToImageParts,
  task: Task,
  options: CheckedOptions,
  programs: ProgramOptions,
): AsyncGenerator<DenoisingStep, Omit<PipelineOutput, 'adapters' | 'memory'>, void> {
  const { conditioner, denoiser, unet, vae, scheduler, control, imagePrompts, residency } = parts;
  const { signal, guidanceScale, numImagesPerPrompt } = options;
  const watch = new Stopwatch();
  const { begin, steps, planned, call } = planCall(parts, task, options);
  const { guided } = call;
  const blocks = guidanceRows(call);

  await residency?.begin(phasesOf(parts, call));
  await residency?.enter('text');
  const encoding = conditioner.encode(
    { options, guided, steps: steps.length, order: scheduler.order },
    programs,
  );
  // Memory that is planned is not known to suffice for what is not asked for yet.
  const warming = residency ? undefined : setTimeout(() => warmUp(parts, call), 0);
  const prompts = await encoding.finally(() => clearTimeout(warming));
  watch.lap('encode');
  if (prompts.tokens !== conditioner.tokens) await residency?.begin(phasesOf(parts, call, prompts.tokens));
  const images = prompts.positive.length * numImagesPerPrompt;
  const rows = blocks.length * images;
  const [height, width] = [options.height / vae.scaleFactor, options.width / vae.scaleFactor];
  const shape = [images, unet.outChannels, height, width] as const;
  const seed = options.seed ?? randomSeed();
  const noise = openNoise(seed, images);
  const crop = task.kind === 'inpaint' ? task.crop : undefined;
  // What pictures and ControlNets need is loaded with the first of them.
  const cropping = crop && (await import('../image/padded-crop.ts'));
  const region = crop && cropping?.cropRegion(crop.mask, options, crop.padding);
  const controlRows = { images, imagesPerPrompt: numImagesPerPrompt, blocks };
  const controlling = control && (await import('./control/control-inputs.ts'));
  const controlled = control && controlling?.controlInputs(control, options, region, controlRows);
  const prompted = await imagePrompts?.inputs(blocks, images, programs);
  const inpaints = isInpaintingUNet(unet);
  await residency?.enter('image');
  const start = await prepareStart(task, {
    options,
    scheduler,
    begin,
    vae,
    inpaints,
    shape,
    noise,
    lowResScheduler: parts.lowResScheduler,
    region,
    programs,
  });
  watch.lap('encode');

  await residency?.enter('denoise');
  const session = await denoiser.prepare(denoiseShape(parts, call, prompts.tokens), steps.length, programs);
  const decodes = options.outputType !== 'latent';
  // Where memory is scarce, the VAE comes when the steps are done.
  if (decodes && !residency) await vae.prepare(shape, programs);
  watch.lap('compile');

  const perturbation = perturbedInputs(blocks, images, options, steps);
  session.setPrompt({
    ...controlled,
    ...prompted,
    ...perturbation.all,
    ...batchPrompts(prompts, blocks, numImagesPerPrompt),
    ...conditioner.inputs(options, blocks, images),
    ...(start.condition && {
      condition: stack(blocks.map(() => start.condition ?? new Float32Array())),
    }),
    ...(start.noiseLevel !== undefined && { class_labels: new Int32Array(rows).fill(start.noiseLevel) }),
    ...(unet.timeCondProjDim !== null && {
      timestep_cond: guidanceEmbedding(guidanceScale - 1, unet.timeCondProjDim, images),
    }),
  });
  const stepInputs = {
    ...perturbation.byStep,
    ...(control &&
      controlling && {
        [CONTROL_SCALES]: controlling.controlScales(control, { taken: steps.length, planned }, controlRows),
      }),
  };
  const guidance = guidanceCoefficients(blocks, options, steps);
  if (start.repaint) {
    const { painted, kept } = repaintSteps(steps, mixesAfter(scheduler, begin, steps.length));
    session.setSchedule(painted, guidance, kept, stepInputs);
  } else session.setSchedule(steps, guidance, undefined, stepInputs);
  session.setLatents(start.latents, start.repaint);

  const queued: Promise<void>[] = [];
  for (const [index, step] of steps.entries()) {
    signal?.throwIfAborted();
    const change = prompts.changes?.get(index);
    if (change) session.changePrompt(batchPrompts(change, blocks, numImagesPerPrompt));
    session.step(index, step.usesNoise ? noise.draw(shape) : undefined);
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
  const { signal: _signal, callbackOnStepEnd: _callback, ...used } = options;
  const base = {
    options: { ...used, seed },
    truncatedPrompts: prompts.truncated,
    timings: watch.timings,
    ...(wantsLatents && { latents }),
  };
  if (!decodes) return { ...base, images: [] };
  await residency?.enter('decode');
  const drawn = await vae.decode(final, shape, programs);
  const decoded = parts.fit ? parts.fit(drawn) : drawn;
  signal?.throwIfAborted();
  watch.lap('decode');
  if (options.outputType === 'np')
    return { ...base, images: [], np: { shape: decoded.shape, data: decoded.data.map(toUnitRange) } };
  const pictures = toImages(decoded);
  return {
    ...base,
    images:
      crop && cropping && region
        ? pictures.map((picture) => cropping.overlay(picture, crop.image, crop.mask, region))
        : pictures,
  };
}

/** What is decided of a call before anything is computed. */
export function planCall(
  parts: TextToImageParts,
  task: Task,
  options: CheckedOptions,
): RunSchedule & { readonly call: CallShape } {
  const run = scheduleRun(parts.className, task, options, parts.scheduler);
  const call = {
    options,
    task,
    prompts: promptCount(options),
    // A network with a guidance embedding (LCM) is guided by it and runs once a step.
    guided: options.guidanceScale > 1 && parts.unet.timeCondProjDim === null,
    perturbed: parts.unetConfig && perturbedBlocks(parts.unetConfig, options),
    steps: run.steps.length,
    noise: run.steps.some((step) => step.usesNoise),
  };
  return { ...run, call };
}

/**
 * Begins to compile the kernels of what follows the text encoder, whose own are on their way: drivers compile one after
 * the other, in the order in which they were asked, while weights are read.
 */
function warmUp(parts: TextToImageParts, call: CallShape): void {
  const { conditioner, denoiser, vae, unet } = parts;
  try {
    const shape = denoiseShape(parts, call, conditioner.tokens);
    denoiser.warm(shape, call.steps);
    if (call.options.outputType !== 'latent')
      vae.warm([shape.images, unet.outChannels, shape.height, shape.width]);
  } catch {
    // What cannot be planned is said by those who need it.
  }
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

/** How the kept image and its noise are mixed after each step: as the next step expects it, at the end without noise. */
function mixesAfter(scheduler: Scheduler, begin: number, count: number): NoiseCoefficients[] {
  return Array.from({ length: count }, (_, i) =>
    i + 1 < count ? scheduler.noiseCoefficients(begin + i + 1) : { sample: 1, noise: 0 },
  );
}
