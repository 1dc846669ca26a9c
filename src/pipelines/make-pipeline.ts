/**
 * @file Makes the pipeline that users hold of a model's loaded parts: a plain function with properties attached, made without
 * the Function constructor so that pages with a strict content-security policy can use it.
 */

import type {
  DiffusionPipeline,
  LoadTextualInversionOptions,
  PipelineBackend,
} from './diffusion-pipeline.ts';
import { drain, withOutput } from './pipeline-stream.ts';
import { readCall, type AskedCall } from './read-call.ts';
import { OptionError } from '../errors.ts';
import type { DecodedPixels } from '../image/image.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type { CallOptions } from './options/call-options.ts';
import { typedMemoryError } from '../out-of-memory.ts';
import { refuse } from './options/checks.ts';
import { checkEncodeOptions, checkSyntax } from './options/text-options.ts';
import { CallQueue } from './call-queue.ts';
import { takesOption } from './families/families.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import type { FreeUScales } from '../models/blocks/unet-blocks.ts';
import { later } from '../later.ts';
import type { EncodePromptOptions } from './prompt/encode-prompt.ts';
import type { Platform } from './load/from-pretrained.ts';
import { checkIsOptions } from '../option-names.ts';
import type { LoadedPipeline } from './load/loaded-pipeline.ts';
import type { ComponentName } from './load/placement.ts';
import { freeUScales, type FreeUOptions } from './guidance/freeu.ts';
import { IpAdapters } from './ip-adapter/ip-adapters.ts';
import { promptLoras } from './lora/prompt-loras.ts';
import { LoraAdapters } from './lora/lora-adapters.ts';
import type { InversionHost } from './prompt/textual-inversions.ts';
import type { AddedFileSource } from './load/added-file.ts';
import type { ProgramOptions } from './network.ts';
import type { ProgressListener } from './progress.ts';
import type { PromptSyntax } from '../text/prompt-tokens.ts';
import { planCall } from './call-phases.ts';
import {
  type ContinuousBatchOptions,
  openContinuousBatch,
  type ReadyCall,
} from './batch/continuous-batch.ts';
import { draw, type DenoisingStep, type PipelineOutput, type TextToImageParts } from './draw.ts';
import type { MemoryReport } from './memory/memory-report.ts';
import { usedMemory } from './memory/used-memory.ts';
import { PIXART } from './families/pixart-part.ts';

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

  const partsFor = ({ control, checked }: AskedCall): TextToImageParts => ({
    freeU,
    imagePrompts: imageAdapters.promptsOf(checked),
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
    const read = readCall(loaded, member, options);
    const { task, checked, asked } = read;
    const adapted = adapters.stateWith(promptLoras(checked));
    const { height, width } = asked;
    return {
      parts: {
        ...partsFor(read),
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
        ...usedMemory(backend, [...conditioner.components, denoiser, vae], loaded.residency?.cachedBytes),
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

  const memoryPlan = (options: CallOptions): MemoryReport => {
    const { residency } = loaded;
    if (!residency)
      throw new OptionError('the pipeline was loaded without a budget', {
        field: 'memory',
        remedy: "Load it with fromPretrained(model, { memory: { budget: '4GB' } })",
      });
    const read = readCall(loaded, member, options);
    const parts = partsFor(read);
    return residency.report(parts, planCall(parts, read.task, read.checked).call);
  };

  const { notices, recommended } = loaded;
  const tell = (component: ComponentName): PipelineBackend => {
    const { name, description, lacks, memory } = placement.of(component);
    return { name, description, ...(lacks && { lacks }), ...(memory && { memory }) };
  };
  const inversionHost: InversionHost = {
    platform,
    get encoders() {
      return conditioner.encoders;
    },
    onNotice: (notice) => void notices.push(notice),
    enqueue: (work, signal) => queue.run(work, signal),
  };
  const properties = {
    stream: (options: CallOptions) => withOutput(run(options)),
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
    loadTextualInversion: async (source: AddedFileSource, options?: LoadTextualInversionOptions) =>
      (await loadInversions()).loadInversion(inversionHost, source, options),
    unloadTextualInversion: async (tokens?: string | readonly string[]) =>
      (await loadInversions()).unloadInversion(inversionHost, tokens),
    ...adapters.methods(),
    ...imageAdapters.methods(),
  };
  const pipeline = Object.assign(async (options: CallOptions) => drain(run(options)), properties);
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
