/** @file What users hold: a pipeline that is called with a prompt and gives pictures. Calls on one pipeline queue. */

import type { PipelineStream } from './pipeline-stream.ts';
import type { Backend } from '../backends/backend.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type { CallOptions } from './options/call-options.ts';
import type { EncodePromptOptions, PromptEmbeddings } from './prompt/encode-prompt.ts';
import type { AddedFileSource, FindFileOptions } from './load/added-file.ts';
import type { PromptTokens } from './prompt/count-tokens.ts';
import type { LearnOptions } from './prompt/textual-inversions.ts';
import type { ComponentName } from './load/placement.ts';
import type { FreeUOptions } from './guidance/freeu.ts';
import type { IpAdapterMethods } from './ip-adapter/ip-adapters.ts';
import type { LoraMethods } from './lora/lora-adapters.ts';
import type { VaeSettings } from './image/vae.ts';
import type { RecommendedSettings } from './load/recommended-settings.ts';
import type { PromptSyntax } from '../text/prompt-tokens.ts';
import type { ContinuousBatch, ContinuousBatchOptions } from './batch/continuous-batch.ts';
import type { PipelineOutput } from './draw.ts';
import type { MemoryReport } from './memory/memory-report.ts';

/** What a pipeline tells of a backend. */
export type PipelineBackend = Pick<Backend, 'name' | 'description' | 'lacks' | 'memory'>;

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
