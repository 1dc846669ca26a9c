/**
 * @file What users hold: a pipeline that is called with a prompt and gives pictures.
 *
 * It is a plain function with properties attached, made without the Function constructor so that pages with a
 * strict content-security policy can use it. Calls on one pipeline queue.
 */

import type { Backend } from '../backends/backend.ts';
import { OptionError } from '../errors.ts';
import type { DecodedPixels } from '../image/image.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type { CallOptions, OptionDefaults } from './options/call-options.ts';
import { typedMemoryError } from '../out-of-memory.ts';
import { checkOptions } from './options/check-options.ts';
import { refuse } from './options/checks.ts';
import { checkEncodeOptions, checkSyntax } from './options/text-options.ts';
import { CallQueue } from './call-queue.ts';
import { taskDefaults, takesOption } from './families/families.ts';
import type { Control } from './control/control.ts';
import { CONTROL_OPTIONS } from './control/control-options.ts';
import { CONTROL } from './control/control-part.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { FreeUScales } from '../models/blocks/unet-blocks.ts';
import { isInpaintingUNet, readTask, sizeOfImage, type Task } from './options/image-options.ts';
import { later } from '../later.ts';
import type { EncodePromptOptions, PromptEmbeddings } from './prompt/encode-prompt.ts';
import type { AddedFileSource, FindFileOptions } from './load/added-file.ts';
import type { PromptTokens } from './prompt/count-tokens.ts';
import type { Platform } from './load/from-pretrained.ts';
import { checkIsOptions, checkOptionNames } from '../option-names.ts';
import type { LearnOptions } from './prompt/textual-inversions.ts';
import type { LoadedPipeline } from './load/loaded-pipeline.ts';
import type { ComponentName } from './load/placement.ts';
import { freeUScales, type FreeUOptions } from './guidance/freeu.ts';
import { IpAdapters, type IpAdapterMethods } from './ip-adapter/ip-adapters.ts';
import { promptLoras } from './lora/prompt-loras.ts';
import { LoraAdapters, type LoraMethods } from './lora/lora-adapters.ts';
import type { ProgramOptions } from './network.ts';
import type { ProgressListener } from './progress.ts';
import type { VaeSettings } from './image/vae.ts';
import type { RecommendedSettings } from './load/recommended-settings.ts';
import type { PromptSyntax } from '../text/prompt-tokens.ts';
import { planCall } from './call-phases.ts';
import {
  type ContinuousBatch,
  type ContinuousBatchOptions,
  openContinuousBatch,
  type ReadyCall,
} from './batch/continuous-batch.ts';
import { draw, type DenoisingStep, type PipelineOutput, type TextToImageParts } from './draw.ts';
import type { MemoryReport } from './memory/memory-report.ts';
import { usedMemory } from './memory/used-memory.ts';
import { PIXART } from './families/pixart-part.ts';

/** What a pipeline tells of a backend. */
export type PipelineBackend = Pick<Backend, 'name' | 'description' | 'lacks' | 'memory'>;

/** A running call: its steps as they are queued, and its result. */
export interface PipelineStream extends AsyncGenerator<DenoisingStep, PipelineOutput, void> {
  /** The call's result, once its steps have been taken (or an early `return` rejected it). */
  readonly output: Promise<PipelineOutput>;
}

/** A diffusion pipeline: `const { images } = await pipe({ prompt: 'a red apple, 3D' })`. */
export interface DiffusionPipeline extends LoraMethods, IpAdapterMethods {
  /**
   * Makes pictures.
   * @throws OptionError before any work for an option that is unknown or out of range; DeviceLostError and
   * OutOfMemoryError from the device; the signal's reason when aborted.
   */
  (options: CallOptions): Promise<PipelineOutput>;
  /** The same step by step: `for await (const step of pipe.stream({ prompt })) show(await step.preview())`. */
  stream(options: CallOptions): PipelineStream;
  /**
   * Draws calls together that come at different times, as a server does; see `ContinuousBatch.draw`. Calls of the pipeline
   * itself have their turn when those in the batch are done. Throws OptionError.
   */
  continuousBatch(options?: ContinuousBatchOptions): ContinuousBatch;
  /**
   * The embeddings of prompts, under the names that calls take them by: `pipe({ ...(await pipe.encodePrompt({ prompt })) })`.
   * @throws OptionError for an option that is unknown or does not fit, and for prompts that change from step to step
   */
  encodePrompt(options: EncodePromptOptions): Promise<PromptEmbeddings>;
  /**
   * How much of the first text encoder's input a prompt takes, and what in it is weighed.
   * @param syntax default 'plain'
   * @throws OptionError for what the syntax does not allow
   */
  countTokens(prompt: string, syntax?: PromptSyntax): Promise<PromptTokens>;
  /**
   * Adds a learned word (textual inversion) to the prompts' vocabulary: diffusers' form, sd-webui's, or that of SDXL with
   * both encoders' vectors. A word of several vectors stands for all of them. Weights stay loaded.
   * @param source a .safetensors file (path, URL, `owner/name/file.safetensors`, Blob, ByteSource), or a folder, Hub id
   * or ModelSource with learned_embeds.safetensors in it
   * @returns the words
   * @throws FileFormatError for pickles, other forms and vectors of another width; NotFoundError; OptionError for a word
   * that is missing or known already
   */
  loadTextualInversion(source: AddedFileSource, options?: LoadTextualInversionOptions): Promise<string[]>;
  /** Removes learned words, all of them by default. Throws OptionError for words that there are not. */
  unloadTextualInversion(tokens?: string | readonly string[]): Promise<void>;
  /**
   * What a call would have on the device when, if the pipeline was loaded with the option `memory`; nothing is read or
   * allocated for it.
   * @throws OptionError for a pipeline without a budget, and what the call itself throws before any work;
   * OutOfMemoryError naming the smallest budget that works
   */
  memoryPlan(options: CallOptions): MemoryReport;
  /**
   * Turns FreeU on (Si et al. 2023): in the first two up blocks half of the backbone's channels are multiplied by `b1` and
   * `b2`, and the lowest frequencies of the skip connections by `s1` and `s2`. Its authors recommend
   * `{ s1: 0.9, s2: 0.2, b1: 1.2, b2: 1.4 }` for Stable Diffusion 1, `{ s1: 0.9, s2: 0.2, b1: 1.4, b2: 1.6 }` for 2 and
   * `{ s1: 0.6, s2: 0.4, b1: 1.1, b2: 1.2 }` for XL. Throws OptionError for factors that are missing, 0 or no numbers.
   */
  enableFreeU(options: FreeUOptions): void;
  /** Turns FreeU off. */
  disableFreeU(): void;
  /** Assign another to sample differently: `EulerDiscreteScheduler.fromConfig(pipe.scheduler.config)`. */
  scheduler: Scheduler;
  /** Settings of its VAE: `pipe.vae.enableTiling()`. */
  readonly vae: VaeSettings;
  /** Its diffusers class. */
  readonly className: string;
  /** The backend that denoises, and the bytes that it holds for this pipeline, where it counts them. */
  readonly backend: PipelineBackend;
  /** The backends of all components, by component; see `FromPretrainedOptions.componentBackends`. */
  readonly componentBackends: Readonly<Record<ComponentName, PipelineBackend>>;
  /** Settings that the model's folder recommends (calotype.json); the library does not apply them by itself. */
  readonly recommended: RecommendedSettings;
  /** What was ignored or decided while loading, for people. */
  readonly notices: readonly string[];
  /** Frees everything; a running call is waited for. */
  dispose(): Promise<void>;
}

/** Options of `loadTextualInversion`. */
export type LoadTextualInversionOptions = FindFileOptions & LearnOptions;

const INVERSION_OPTIONS = [
  'token',
  'textEncoder',
  'weightName',
  'subfolder',
  'revision',
  'signal',
] as const satisfies readonly (keyof LoadTextualInversionOptions)[];

/** Throws OptionError for what is no scheduler: a name, or a class in place of what its `fromConfig` makes. */
function checkScheduler(value: unknown): void {
  const isScheduler =
    typeof value === 'object' && value !== null && 'setTimesteps' in value && 'steps' in value;
  if (!isScheduler)
    refuse(
      'scheduler',
      'it is no scheduler',
      'Assign one that was made, such as EulerDiscreteScheduler.fromConfig(pipe.scheduler.config)',
    );
}

const loadInversions = () => later('textual inversions', () => import('./prompt/textual-inversions.ts'));

/** A promise to be settled from outside; rejections that nobody looks at are not reported as unhandled. */
function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
} {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** diffusers' defaults of the pipeline class that a task belongs to. */
function defaultsOf(
  { className, unet, vae, lowRes }: LoadedPipeline,
  task: Task,
  control: Control | undefined,
): OptionDefaults {
  const defaults = taskDefaults(className, task.kind, control !== undefined);
  const { scaleFactor } = vae;
  const [latentHeight, latentWidth] = unet.sampleSize ?? [64, 64];
  const pictured =
    task.kind === 'image' || task.kind === 'upscale' || (task.kind === 'inpaint' && control)
      ? task.image
      : control?.images[0];
  if (!pictured) return { ...defaults, height: latentHeight * scaleFactor, width: latentWidth * scaleFactor };
  const size = sizeOfImage(pictured, scaleFactor);
  const height = size.height - (size.height % scaleFactor);
  const width = size.width - (size.width % scaleFactor);
  if (task.kind !== 'upscale') return { ...defaults, height, width };
  // A pixel of the picture is a latent of the upscaler.
  const { maxNoiseLevel = 0 } = lowRes ?? {};
  return { ...defaults, maxNoiseLevel, height: height * scaleFactor, width: width * scaleFactor };
}

/** Wraps loaded parts as a callable pipeline. */
export function makePipeline(
  loaded: LoadedPipeline,
  platform: Platform,
  onProgress: ProgressListener | undefined,
): DiffusionPipeline {
  const { className, unet, vae, denoiser, conditioner, placement } = loaded;
  const { backend } = denoiser.network;
  const imageBackend = placement.of('imageEncoder');
  let { scheduler } = loaded;
  let freeU: readonly FreeUScales[] | undefined;
  const queue = new CallQueue();
  const refines = conditioner.microConditions === 5;
  const member = { className, refines };
  const granularity = vae.scaleFactor * loaded.granularity;

  const adapters = new LoraAdapters({
    platform,
    networks: loaded.networks,
    onNotice: (notice) => void loaded.notices.push(notice),
    enqueue: (work) => queue.run(work),
  });

  /** The UNet's configuration. Throws OptionError for models with a transformer. */
  const unetFor = (feature: string): UNet2DConditionConfig =>
    loaded.unetConfig ??
    refuse(feature, `it works on UNets, and ${className} has a transformer`, 'Use a Stable Diffusion model');

  const imageAdapters = new IpAdapters({
    platform,
    backend: imageBackend,
    residency: loaded.residency,
    get unet() {
      return unetFor('loadIpAdapter');
    },
    dtype: loaded.imageEncoderDType,
    mounts: loaded.besideUNet,
    forget: (tensors) => denoiser.forget(tensors),
    onNotice: (notice) => void loaded.notices.push(notice),
    enqueue: (work) => queue.run(work),
  });

  /** What ControlNets do in a call; undefined where no option asks for them. */
  const controlOf = (options: CallOptions, task: Task): Control | undefined => {
    const given = CONTROL_OPTIONS.find((name) => options[name] !== undefined);
    if (given === undefined) return undefined;
    if (loaded.controlnets.length === 0)
      refuse(
        given,
        'the pipeline was loaded without a ControlNet',
        'Load it with fromPretrained(model, { controlnet })',
      );
    const isXl = className === 'StableDiffusionXLPipeline';
    return CONTROL.loaded.readControl(options, given, loaded.controlnets, task, isXl);
  };

  /** A call's options, checked. */
  const readCall = (options: CallOptions) => {
    checkIsOptions(className, options);
    const task = readTask(options, {
      latentChannels: vae.kind.config.latentChannels,
      inpaints: isInpaintingUNet(unet),
      upscales: loaded.lowRes !== undefined,
      refines,
    });
    const control = controlOf(options, task);
    const asked = checkOptions(options, defaultsOf(loaded, task, control), granularity, member);
    const binned =
      asked.useResolutionBinning === true && PIXART.loaded.binnedSize(asked, unet.sampleSize?.[0] ?? 64);
    const checked = binned ? { ...asked, ...binned } : asked;
    const additions = { freeU, imagePrompts: imageAdapters.promptsOf(checked) };
    return { task, control, checked, asked, additions };
  };

  const partsFor = (
    control: Control | undefined,
    additions: Pick<TextToImageParts, 'freeU' | 'imagePrompts'>,
  ): TextToImageParts => ({
    ...additions,
    lowResScheduler: loaded.lowRes?.scheduler,
    className,
    conditioner,
    denoiser,
    unet,
    unetConfig: loaded.unetConfig,
    vae,
    scheduler,
    control,
    residency: loaded.residency,
    idle: () => backend.idle(),
  });

  /** A call with the scheduler and the adapters of this moment. */
  const readyCall = (options: CallOptions): ReadyCall => {
    const { task, control, checked, asked, additions } = readCall(options);
    const adapted = adapters.stateWith(promptLoras(checked));
    const { height, width } = asked;
    return {
      parts: {
        ...partsFor(control, additions),
        ...(checked !== asked && {
          fit: (decoded: DecodedPixels) => PIXART.loaded.resizeAndCrop(decoded, asked),
        }),
      },
      task,
      options: checked,
      adapterKey: JSON.stringify(adapters.used(adapted)),
      applyAdapters: async () => {
        await adapters.apply(adapted, checked.signal);
        for (const { memory } of placement.devices.keys()) memory?.restart();
      },
      complete: (output) => ({
        ...output,
        options: { ...output.options, height, width },
        adapters: adapters.used(adapted),
        ...usedMemory(backend, [...conditioner.components, denoiser, vae]),
      }),
    };
  };

  const programsWith = (signal: AbortSignal | undefined): ProgramOptions => ({ signal, onProgress });

  async function* runPass(options: CallOptions): AsyncGenerator<DenoisingStep, PipelineOutput, void> {
    const call = readyCall(options);
    const { signal } = call.options;
    const release = await queue.turn(signal);
    try {
      await call.applyAdapters();
      return call.complete(yield* draw(call.parts, call.task, call.options, programsWith(signal)));
    } catch (error) {
      throw typedMemoryError(error);
    } finally {
      release();
    }
  }

  async function* run(options: CallOptions): AsyncGenerator<DenoisingStep, PipelineOutput, void> {
    checkIsOptions(className, options);
    if (options.hires === undefined || !takesOption(member, 'hires')) return yield* runPass(options);
    const { hiresPasses, withFirstPass } = await later('two passes', () => import('./image/hires.ts'));
    const passes = hiresPasses(options, options.hires, vae.scaleFactor);
    const first = yield* runPass(passes.first);
    const second = yield* runPass(passes.second(first));
    return withFirstPass(second, first, options);
  }

  const stream = (options: CallOptions): PipelineStream => {
    const result = deferred<PipelineOutput>();
    async function* forward(): AsyncGenerator<DenoisingStep, PipelineOutput, void> {
      try {
        const output = yield* run(options);
        result.resolve(output);
        return output;
      } catch (error) {
        result.reject(error);
        throw error;
      } finally {
        // Does nothing where the result is settled: only a stream that was left early comes here without one.
        result.reject(new DOMException('The stream was left before its last step', 'AbortError'));
      }
    }
    return Object.assign(forward(), { output: result.promise });
  };

  const call = async (options: CallOptions): Promise<PipelineOutput> => {
    const steps = run(options);
    for (;;) {
      const next = await steps.next();
      if (next.done === true) return next.value;
    }
  };

  const loadTextualInversion = async (
    source: AddedFileSource,
    options: LoadTextualInversionOptions = {},
  ): Promise<string[]> => {
    checkOptionNames('loadTextualInversion', options, INVERSION_OPTIONS);
    const { EMBEDDING_FILE, learnTokens, openAddedFile } = await loadInversions();
    const file = await openAddedFile(platform, EMBEDDING_FILE, source, options, (notice) =>
      notices.push(notice),
    );
    try {
      return await queue.run(() => learnTokens(conditioner.encoders, file, options), options.signal);
    } finally {
      await file.close();
    }
  };

  const memoryPlan = (options: CallOptions): MemoryReport => {
    const { residency } = loaded;
    if (!residency)
      throw new OptionError('the pipeline was loaded without a budget', {
        field: 'memory',
        remedy: "Load it with fromPretrained(model, { memory: { budget: '4GB' } })",
      });
    const { task, control, checked, additions } = readCall(options);
    const parts = partsFor(control, additions);
    return residency.report(parts, planCall(parts, task, checked).call);
  };

  const { notices, recommended } = loaded;
  const tell = (component: ComponentName): PipelineBackend => {
    const { name, description, lacks, memory } = placement.of(component);
    return { name, description, ...(lacks && { lacks }), ...(memory && { memory }) };
  };
  const properties = {
    stream,
    continuousBatch: (options?: ContinuousBatchOptions) =>
      openContinuousBatch(
        {
          denoiser,
          ready: readyCall,
          stream: run,
          turn: () => queue.turn(),
          isWanted: () => queue.isWanted,
          programs: programsWith,
        },
        options,
      ),
    encodePrompt: async (options: EncodePromptOptions) => {
      checkEncodeOptions(options, member);
      const adapted = adapters.stateWith(promptLoras(options));
      return queue.run(async () => {
        const { encodePrompt } = await later('embeddings', () => import('./prompt/encode-prompt.ts'));
        await loaded.residency?.beginText(conditioner, options);
        await loaded.residency?.enter('text', options.signal);
        await adapters.apply(adapted, options.signal);
        return encodePrompt(conditioner, options, programsWith(options.signal));
      }, options.signal);
    },
    memoryPlan,
    countTokens: async (prompt: string, syntax: PromptSyntax = 'plain') => {
      checkSyntax(syntax);
      if (typeof prompt !== 'string') refuse('prompt', 'it is no text', 'Give one prompt as a string');
      const { countPromptTokens } = await later('counts of tokens', () => import('./prompt/count-tokens.ts'));
      return countPromptTokens(conditioner.reader, prompt, syntax);
    },
    loadTextualInversion,
    unloadTextualInversion: (tokens?: string | readonly string[]) =>
      queue.run(async () => {
        const { forgetTokens } = await loadInversions();
        forgetTokens(conditioner.encoders, tokens === undefined ? undefined : [tokens].flat());
      }),
    vae,
    className,
    notices,
    recommended,
    backend: tell('unet'),
    componentBackends: {
      unet: tell('unet'),
      vae: tell('vae'),
      textEncoder: tell('textEncoder'),
      textEncoder2: tell('textEncoder2'),
      imageEncoder: tell('imageEncoder'),
    },
    dispose: () =>
      queue.close(() => {
        imageAdapters.dispose();
        loaded.dispose();
        placement.dispose();
      }),
    enableFreeU: (options: FreeUOptions) => {
      unetFor('enableFreeU');
      freeU = freeUScales(options);
    },
    disableFreeU: () => {
      freeU = undefined;
    },
    scheduler,
    ...adapters.methods(),
    ...imageAdapters.methods(),
  };
  const pipeline = Object.assign(call, properties);
  Object.defineProperty(pipeline, 'scheduler', {
    get: () => scheduler,
    set: (next: Scheduler) => {
      checkScheduler(next);
      scheduler = next;
    },
    enumerable: true,
  });
  return pipeline;
}
