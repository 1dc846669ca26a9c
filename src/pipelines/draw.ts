/**
 * @file Text to image, image to image and inpainting: encode the prompts and the image, denoise step by step, decode.
 * One async generator serves the plain call, progress, previews and cancelling.
 */

import type { CalotypeImage, DecodedPixels } from '../image/image.ts';
import { later } from '../later.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import { beginCall, finishCall, Stopwatch, warmUp } from './call-phases.ts';
import { stepsDone, type Checkpoint } from './checkpoint.ts';
import { batchPrompts, type Conditioner } from './prompt/conditioning.ts';
import type { Control } from './control/control.ts';
import type { Denoiser } from './denoise/denoiser.ts';
import type { LatentModel } from './denoise/denoiser-config.ts';
import type { Task } from './options/image-options.ts';
import type { ImagePrompts } from './ip-adapter/image-prompts.ts';
import type { UsedAdapter } from './lora/lora-adapters.ts';
import type { ProgramOptions } from './network.ts';
import type { CheckedOptions, Seed, StepInfo, Tensor } from './options/call-options.ts';
import type { FreeUScales } from '../models/blocks/unet-blocks.ts';
import type { PipelineClass } from '../loaders/configs/model-index.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { Residency } from './memory/residency.ts';
import type { CallMemory } from './memory/used-memory.ts';
import type { Vae } from './image/vae.ts';
import { unlessAborted } from '../unless-aborted.ts';

/** Seconds that each phase of a call took. */
export interface Timings {
  /** Reading weights to the device and compiling programs that were not cached. */
  compile: number;
  /** Encoding the prompts and the image. */
  encode: number;
  /** All steps. */
  denoise: number;
  /** From latents to pictures. */
  decode: number;
}

/** What a call ran with: the same options make the same pictures. */
export type UsedOptions = Omit<CheckedOptions, 'signal' | 'callbackOnStepEnd' | 'resumeFrom' | 'seed'> & {
  readonly seed: Seed | readonly Seed[];
};

/** Result of a call. */
export interface PipelineOutput extends CallMemory {
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
  /** Ends of prompts that were too long for the text encoder and had no effect. */
  readonly truncatedPrompts: readonly string[];
  /** How long the call took, phase by phase. */
  readonly timings: Timings;
}

/** What of a result the phases of a call give. */
export type DrawnOutput = Omit<PipelineOutput, 'adapters' | keyof CallMemory>;

/** One step, queued on the device. */
export interface DenoisingStep extends StepInfo {
  /** Resolves when the device has finished this step. */
  readonly finished: Promise<void>;
  /** The latents after this step; ask before taking the next step. */
  latents(): Promise<Tensor>;
  /**
   * What `resumeFrom` takes to go on after this step; ask before taking the next step. With `cacheInterval`, steps after
   * which kept features are taken have none.
   */
  readonly checkpoint?: () => Promise<Checkpoint>;
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
export const QUEUED_STEPS = 2;

/** Runs one checked call. */
export async function* draw(
  parts: TextToImageParts,
  task: Task,
  options: CheckedOptions,
  programs: ProgramOptions,
): AsyncGenerator<DenoisingStep, DrawnOutput, void> {
  const { conditioner, denoiser, vae, residency } = parts;
  const { signal, numImagesPerPrompt } = options;
  const watch = new Stopwatch();
  const begun = await beginCall(parts, task, options, programs, watch, (call) => warmUp(parts, call));
  const { steps, shape, blocks, prompts, guidance, repainted, start, noise } = begun;

  await residency?.enter('denoise', signal);
  const session = await denoiser.prepare(begun.denoising, steps.length, programs);
  // Where memory is scarce, the VAE comes when the steps are done.
  const preparing = options.outputType !== 'latent' && !residency ? vae.prepare(shape, programs) : undefined;
  // It is awaited below, by whoever stops early too.
  preparing?.catch(() => undefined);
  try {
    // A driver compiles it while the steps run.
    if (!vae.network.backend.warm) await preparing;
    watch.lap('compile');
    session.setPrompt(begun.inputs);
    session.setSchedule(repainted?.painted ?? steps, guidance, repainted?.kept, begun.stepInputs);
    session.setLatents(start.latents, start.repaint);
    const { resumeFrom, cacheInterval = 1 } = options;
    const done = resumeFrom ? stepsDone(resumeFrom, steps.length) : 0;
    if (resumeFrom) session.setState(resumeFrom.state);

    const queued: Promise<void>[] = [];
    for (const [index, step] of steps.entries()) {
      signal?.throwIfAborted();
      const change = prompts.changes?.get(index);
      if (change) session.changePrompt(batchPrompts(change, blocks, numImagesPerPrompt));
      const drawn = step.usesNoise ? noise.draw(shape) : undefined;
      // Of steps that were done elsewhere only the noise is drawn, so that generators are where they were.
      if (index < done) continue;
      session.step(index, drawn);
      const finished = parts.idle();
      // It is awaited below or by whoever stops early; an error must not count as unhandled meanwhile.
      finished.catch(() => undefined);
      queued.push(finished);
      const oldest = queued.length >= QUEUED_STEPS ? queued.shift() : undefined;
      if (oldest) await unlessAborted(oldest, signal);
      const info: StepInfo = { index, total: steps.length, timestep: step.timestep };
      let reading: Promise<Float32Array> | undefined;
      const state = (): Promise<Float32Array> => (reading ??= session.readState());
      const latents = async (): Promise<Tensor> => ({ shape, data: session.latentsOf(await state()) });
      const checkpoint = async (): Promise<Checkpoint> => ({
        done: index + 1,
        total: steps.length,
        seed: begun.seed,
        state: await state(),
      });
      yield {
        ...info,
        finished,
        latents,
        ...((index + 1) % cacheInterval === 0 && { checkpoint }),
        preview: async () => {
          const drawn = await latents();
          const { previewLatents } = await later('previews', () => import('../image/preview.ts'));
          return previewLatents(drawn, conditioner.microConditions > 0 ? 'sdxl' : 'sd');
        },
      };
      if (options.callbackOnStepEnd) {
        await finished;
        const change = await options.callbackOnStepEnd({ ...info, latents });
        if (change) {
          const { changedState } = await later('changes of latents', () => import('./step-change.ts'));
          const changed = await changedState(change, shape, state);
          if (changed) session.setState(changed);
        }
      }
    }
    const final = await unlessAborted(session.readLatents(), signal);
    watch.lap('denoise');
    await preparing;
    watch.lap('compile');
    return await finishCall(parts, begun, final, programs, watch);
  } finally {
    await preparing?.catch(() => undefined);
  }
}
