/**
 * @file The phases of a call around its steps: what is decided first, prompts and pictures encoded, latents decoded.
 */

import { KernelError } from '../errors.ts';
import { toImages, toUnitRange } from '../image/image.ts';
import { later } from '../later.ts';
import type { repaintSteps } from '../schedulers/repaint.ts';
import type { GuidanceCoefficients } from '../schedulers/coefficients.ts';
import type { NoiseCoefficients, Scheduler, StepCoefficients } from '../schedulers/scheduler.ts';
import type { ImageShape } from '../tensor/layout.ts';
import { CONTROL } from './control/control-part.ts';
import { denoiseShape, type CallShape } from './call-shape.ts';
import type { DenoiseShape } from './denoise/denoise-parts.ts';
import type { DrawnOutput, TextToImageParts, Timings } from './draw.ts';
import { normalizesLatents } from './families/families.ts';
import { guidanceRows, type GuidanceRow } from './guidance/guidance-rows.ts';
import { guidanceCoefficients, perturbedBlocks, perturbedInputs } from './guidance/perturbed-guidance.ts';
import type { ProgramOptions } from './network.ts';
import { openNoise, randomSeed, type Noise } from './noise.ts';
import { isInpaintingUNet, type Task } from './options/image-options.ts';
import type { CheckedOptions, Seed, Tensor } from './options/call-options.ts';
import { promptCount } from './options/text-options.ts';
import { batchPrompts, stack, type EncodedPrompts } from './prompt/conditioning.ts';
import { scheduleRun, type RunSchedule } from './schedule.ts';
import { prepareStart, type Start } from './start.ts';

/** A call whose prompts and pictures are encoded: what its steps are run with. */
export interface BegunCall {
  readonly task: Task;
  readonly options: CheckedOptions;
  readonly seed: Seed | readonly Seed[];
  readonly steps: readonly StepCoefficients[];
  /** What the programs of its steps are compiled for. */
  readonly denoising: DenoiseShape;
  /** Of its latents. */
  readonly shape: ImageShape;
  readonly blocks: readonly GuidanceRow[];
  readonly prompts: EncodedPrompts;
  /** Inputs that hold for all steps, by name. */
  readonly inputs: Readonly<Record<string, Float32Array | Int32Array>>;
  /** Inputs with a value for each step. */
  readonly stepInputs: Readonly<Record<string, Float32Array>>;
  readonly guidance: GuidanceCoefficients;
  /** With a mask: the steps of what is painted, and of what is kept. */
  readonly repainted?: ReturnType<typeof repaintSteps>;
  readonly start: Start;
  readonly noise: Noise;
}

/**
 * Encodes the prompts and the picture of a call.
 * @param meanwhile what can be begun while prompts are being encoded
 */
export async function beginCall(
  parts: TextToImageParts,
  task: Task,
  options: CheckedOptions,
  programs: ProgramOptions,
  watch: Stopwatch,
  meanwhile?: (call: CallShape) => void,
): Promise<BegunCall> {
  const { conditioner, unet, vae, scheduler, control, imagePrompts, residency } = parts;
  const { guidanceScale, numImagesPerPrompt } = options;
  const { begin, steps, planned, call } = planCall(parts, task, options);
  const { guided } = call;
  const blocks = guidanceRows(call);

  await residency?.beginCall(parts, call);
  await residency?.enter('text', options.signal);
  const encoding = conditioner.encode(
    { options, guided, steps: steps.length, order: scheduler.order },
    programs,
  );
  // Memory that is planned is not known to suffice for what is not asked for yet.
  const failures: unknown[] = [];
  const warm = (): void => {
    try {
      meanwhile?.(call);
    } catch (error) {
      failures.push(error);
    }
  };
  const warming = residency ? undefined : setTimeout(warm, 0);
  const prompts = await encoding.finally(() => clearTimeout(warming));
  for (const error of failures) throw error;
  watch.lap('encode');
  if (prompts.tokens !== conditioner.tokens) await residency?.beginCall(parts, call, prompts.tokens);
  const images = prompts.positive.length * numImagesPerPrompt;
  const rows = blocks.length * images;
  const [height, width] = [options.height / vae.scaleFactor, options.width / vae.scaleFactor];
  const shape = [images, unet.outChannels, height, width] as const;
  const seed = options.seed ?? options.resumeFrom?.seed ?? randomSeed();
  const noise = await openNoise(seed);
  const crop = task.kind === 'inpaint' ? task.crop : undefined;
  const region = crop && (await loadCrop()).cropRegion(crop.mask, options, crop.padding);
  const controlRows = { images, imagesPerPrompt: numImagesPerPrompt, blocks };
  const controlled = control && CONTROL.loaded.controlInputs(control, options, region, controlRows);
  if (imagePrompts) await residency?.enter('imagePrompts', options.signal);
  const prompted = await imagePrompts?.inputs(blocks, images, { height, width }, programs);
  const inpaints = isInpaintingUNet(unet);
  await residency?.enter('image', options.signal);
  const start = await prepareStart(task, {
    options,
    scheduler,
    begin,
    vae,
    inpaints,
    shape,
    noise,
    normalized: normalizesLatents(parts.className, task.kind, control !== undefined).encoded,
    lowResScheduler: parts.lowResScheduler,
    region,
    programs,
  });
  watch.lap('encode');

  const perturbation = perturbedInputs(blocks, images, options, steps);
  return {
    task,
    options,
    seed,
    steps,
    denoising: denoiseShape(parts, call, prompts.tokens),
    shape,
    blocks,
    prompts,
    inputs: {
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
        timestep_cond: (await loadEmbedding()).guidanceEmbedding(
          guidanceScale - 1,
          unet.timeCondProjDim,
          images,
        ),
      }),
    },
    stepInputs: {
      ...perturbation.byStep,
      ...(control && {
        [CONTROL.loaded.CONTROL_SCALES]: CONTROL.loaded.controlScales(
          control,
          { taken: steps.length, planned },
          controlRows,
        ),
      }),
    },
    guidance: guidanceCoefficients(blocks, options, steps),
    ...(start.repaint && {
      repainted: (await loadRepaint()).repaintSteps(steps, mixesAfter(scheduler, begin, steps.length)),
    }),
    start,
    noise,
  };
}

/** Makes the result of a call from its latents [images, channels, height, width]. */
export async function finishCall(
  parts: TextToImageParts,
  { task, options, seed, shape, prompts }: BegunCall,
  data: Float32Array,
  programs: ProgramOptions,
  watch: Stopwatch,
): Promise<DrawnOutput> {
  const { className, vae, residency, fit, control } = parts;
  const latents: Tensor = { shape, data };
  const wantsLatents = options.outputType === 'latent' || options.returnLatents === true;
  const { signal, callbackOnStepEnd: _callback, resumeFrom: _from, ...used } = options;
  const base = {
    options: { ...used, seed },
    truncatedPrompts: prompts.truncated,
    timings: watch.timings,
    ...(wantsLatents && { latents }),
  };
  if (options.outputType === 'latent') return { ...base, images: [] };
  await residency?.enter('decode', signal);
  const { decoded: normalized } = normalizesLatents(className, task.kind, control !== undefined);
  const drawn = await vae.decode(data, shape, normalized, programs);
  const decoded = fit ? fit(drawn) : drawn;
  signal?.throwIfAborted();
  const isArray = options.outputType === 'np';
  const pictures = isArray ? [] : toImages(decoded);
  watch.lap('decode');
  if (isArray)
    return { ...base, images: pictures, np: { shape: decoded.shape, data: decoded.data.map(toUnitRange) } };
  const crop = task.kind === 'inpaint' ? task.crop : undefined;
  if (!crop) return { ...base, images: pictures };
  const { cropRegion, overlay } = await loadCrop();
  const region = cropRegion(crop.mask, options, crop.padding);
  return { ...base, images: pictures.map((picture) => overlay(picture, crop.image, crop.mask, region)) };
}

const loadEmbedding = () => later('embedded guidance', () => import('./guidance/guidance-embedding.ts'));
const loadRepaint = () => later('masks', () => import('../schedulers/repaint.ts'));
const loadCrop = () => later('masks', () => import('../image/padded-crop.ts'));

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
export function warmUp(parts: TextToImageParts, call: CallShape): void {
  const { conditioner, denoiser, vae, unet } = parts;
  try {
    const shape = denoiseShape(parts, call, conditioner.tokens);
    denoiser.warm(shape, call.steps);
    if (call.options.outputType !== 'latent')
      vae.warm([shape.images, unet.outChannels, shape.height, shape.width]);
  } catch (error) {
    // What no kernel can run is said by those who need it.
    if (!(error instanceof KernelError)) throw error;
  }
}

/** Measures the phases of a call. */
export class Stopwatch {
  readonly timings: Timings = { compile: 0, encode: 0, denoise: 0, decode: 0 };
  #last = performance.now();

  /** Adds the time since the last lap to a phase, or leaves it out. */
  lap(phase?: keyof Timings): void {
    const now = performance.now();
    if (phase) this.timings[phase] += (now - this.#last) / 1000;
    this.#last = now;
  }
}

/** How the kept image and its noise are mixed after each step: as the next step expects it, at the end without noise. */
function mixesAfter(scheduler: Scheduler, begin: number, count: number): NoiseCoefficients[] {
  return Array.from({ length: count }, (_, i) =>
    i + 1 < count ? scheduler.noiseCoefficients(begin + i + 1) : { sample: 1, noise: 0 },
  );
}
