/** @file Draws jobs in this process: their pipelines, LoRAs and batches. */
import { setImmediate } from 'node:timers/promises';
import {
  type CallOptions,
  type CalotypeImage,
  type ContinuousBatch,
  type DenoisingStep,
  NotFoundError,
  type Scheduler,
} from 'calotype';
import type { DrawRequest, DrawResult, DrawStep } from '../draw-request.ts';
import { addedTo, findModel, type NamedSource } from '../models.ts';
import { controlOptions, imagePromptOptions, type IpAdapterSource } from './addition-options.ts';
import { callOptions, schedulerOf, settingsOf } from './call-options.ts';
import { type LoadOptions, LoadedModels, type LoadedModel } from './loaded-models.ts';
import { encodePicture, type PictureEncoder } from './encode.ts';
import { encodePictures, encodePreviews } from './pictures.ts';
import type { RunnerJob } from './runner.ts';

/** What a host offers and may use. */
export interface HostOptions extends LoadOptions {
  readonly models: readonly NamedSource[];
  /** LoRAs that prompts may name as `<lora:name:weight>`. */
  readonly loras?: readonly NamedSource[];
  /** IP-Adapters that requests may name. */
  readonly ipAdapters?: readonly IpAdapterSource[];
  /** Folder of their image encoder, as `loadIpAdapter` takes it; default beside the first. */
  readonly imageEncoder?: string;
  /** Pictures that are drawn at a time, each at its own step; 1, the default, for one call after the other. */
  readonly maxBatch?: number;
  /** Makes files of pictures; default in this thread. */
  readonly encode?: PictureEncoder;
}

/** What a host keeps with a pipeline. */
interface Held {
  readonly batch: ContinuousBatch;
  /** The model's own, from whose configuration others are made. */
  readonly scheduler: Scheduler;
  /** Names of the LoRAs that are loaded. */
  readonly loras: Set<string>;
  /** Whether its IP-Adapters are. */
  hasIpAdapters: boolean;
}

const LORA_NAME = /<lora:([^:>]+)/g;

/** Holds pipelines and draws jobs with them. */
export class PipelineHost {
  readonly #options: HostOptions;
  readonly #models: LoadedModels<Held>;
  readonly #encode: PictureEncoder;
  /** Jobs are begun one after the other: a call has the scheduler and the adapters of the moment it is made. */
  #beginning: Promise<unknown> = Promise.resolve();
  /** Milliseconds that this thread was at work when that was last told. */
  #busy = performance.eventLoopUtilization().active;

  constructor(options: HostOptions) {
    const { maxBatch = 1 } = options;
    this.#options = options;
    this.#encode = options.encode ?? encodePicture;
    this.#models = new LoadedModels(options, (pipe) => ({
      batch: pipe.continuousBatch({ maxImages: maxBatch }),
      scheduler: pipe.scheduler,
      loras: new Set<string>(),
      hasIpAdapters: false,
    }));
  }

  /** Loads the first model, which is what most jobs will ask for. */
  async load(): Promise<void> {
    const { release } = await this.#models.take(this.#options.models[0], new AbortController().signal);
    await release();
  }

  /** Draws a job; see `Runner.draw`. */
  async draw(job: RunnerJob): Promise<DrawResult> {
    const begin = performance.now();
    const { request, signal } = job;
    signal.throwIfAborted();
    const before = this.#beginning;
    const begun = before.then(() => this.#begin(job));
    this.#beginning = begun.catch(() => undefined);
    const { drawing, model, noticed, reporter, scheduler } = await begun;
    try {
      const made = performance.now();
      const output = await drawing;
      const drawn = performance.now();
      const cut = output.truncatedPrompts.map((end) => `the model did not read: "${end}"`);
      const settings = settingsOf(output.options, scheduler, request.model);
      const pictures = await encodePictures(request, output.images, settings, this.#encode);
      await reporter.told;
      const end = performance.now();
      const { compile, encode, denoise, decode } = output.timings;
      const join = Math.max(0, (drawn - made) / 1000 - compile - encode - denoise - decode);
      return {
        pictures,
        notices: [...noticed, ...cut],
        seconds: (end - begin) / 1000,
        phases: {
          begin: (made - begin) / 1000,
          join,
          encode,
          compile,
          denoise,
          decode,
          file: (end - drawn) / 1000,
        },
        busySeconds: this.#takeBusy(),
      };
    } finally {
      await model.release();
    }
  }

  #takeBusy(): number {
    const before = this.#busy;
    this.#busy = performance.eventLoopUtilization().active;
    return (this.#busy - before) / 1000;
  }

  /** Frees all pipelines. */
  async dispose(): Promise<void> {
    await this.#beginning;
    await this.#models.dispose();
  }

  /** Makes the call that draws a job. */
  async #begin({ request, signal, onStep }: RunnerJob) {
    signal.throwIfAborted();
    const model = await this.#models.take(findModel(this.#options.models, request.model), signal);
    try {
      const { pipe, held } = model;
      const before = pipe.notices.length;
      await this.#loadLoras(model, request.prompt, signal);
      const noticed = pipe.notices.slice(before);
      const scheduler = schedulerOf(request.scheduler, held.scheduler);
      pipe.scheduler = scheduler;
      const added = await this.#addIpAdapters(model, request, signal);
      const nets = addedTo(this.#options.controlnets ?? [], request.model);
      const options = {
        ...callOptions(request, pipe.recommended),
        ...controlOptions(request, nets),
        ...added,
        signal,
      };
      const reporter = new StepReporter(request, onStep, this.#encode);
      const drawing = held.batch.draw(options, { onStep: (step) => reporter.report(step) });
      // It is awaited a moment later.
      drawing.catch(() => undefined);
      return { drawing, model, noticed, reporter, scheduler };
    } catch (error) {
      await model.release();
      throw error;
    }
  }

  /** Loads the IP-Adapters that go with a model when a job first asks for one; gives the options of its call. */
  async #addIpAdapters(
    { pipe, held }: LoadedModel<Held>,
    request: DrawRequest,
    signal: AbortSignal,
  ): Promise<Pick<CallOptions, 'ipAdapterImage'>> {
    const { ipAdapters = [], imageEncoder } = this.#options;
    const offered = addedTo(ipAdapters, request.model);
    if (!held.hasIpAdapters) {
      if (request.imagePrompts === undefined) return {};
      await pipe.loadIpAdapter(
        offered.map(({ source }) => source),
        {
          subfolder: offered.map(({ subfolder }) => subfolder),
          weightName: offered.map(({ weightName }) => weightName),
          ...(imageEncoder !== undefined && { imageEncoderFolder: imageEncoder }),
          signal,
        },
      );
      held.hasIpAdapters = true;
    }
    const { scales, ...options } = imagePromptOptions(request, offered);
    pipe.setIpAdapterScale(scales);
    return options;
  }

  /** Loads the LoRAs that a prompt names, if they are offered; the prompt then says how much each counts. */
  async #loadLoras({ pipe, held }: LoadedModel<Held>, prompt: string, signal: AbortSignal): Promise<void> {
    const { loras = [] } = this.#options;
    for (const [, adapterName] of prompt.matchAll(LORA_NAME)) {
      if (held.loras.has(adapterName)) continue;
      const offered = loras.find(({ name }) => name === adapterName);
      if (!offered)
        throw new NotFoundError(`there is no LoRA '${adapterName}'`, {
          field: 'prompt',
          remedy:
            loras.length > 0 ? `Served are ${loras.map(({ name }) => name).join(', ')}` : 'None are served',
        });
      await pipe.loadLoraWeights(offered.source, { adapterName, signal });
      held.loras.add(adapterName);
      // Loading makes it active in every call; only prompts that name it are to have it.
      await pipe.setAdapters([]);
    }
  }
}

/** Tells of steps in their order, as the device finishes them, while later ones are being queued and previews encoded. */
class StepReporter {
  readonly #count: number;
  /** Steps of the second pass, where there is one. */
  readonly #second: number;
  /** Steps of the first pass, when it is done. */
  #before = 0;
  #last = -1;
  readonly #onStep: RunnerJob['onStep'];
  readonly #encode: PictureEncoder;
  /** Resolves when all steps so far have been told of. */
  told: Promise<void> = Promise.resolve();

  constructor({ previews, hires }: DrawRequest, onStep: RunnerJob['onStep'], encode: PictureEncoder) {
    this.#count = previews;
    this.#second = Math.floor((hires?.numInferenceSteps ?? 0) * (hires?.strength ?? 0));
    this.#onStep = onStep;
    this.#encode = encode;
  }

  async report({ index: ofPass, total: inPass, finished, preview }: DenoisingStep): Promise<void> {
    if (ofPass <= this.#last) this.#before = this.#last + 1;
    this.#last = ofPass;
    const index = this.#before + ofPass;
    const total = this.#before > 0 ? this.#before + inPass : inPass + this.#second;
    const images = isPreviewed(this.#count, index, total) ? await preview() : [];
    this.told = this.#tell(this.told, { done: index + 1, total }, images, finished);
    // A backend that computes on this thread would otherwise keep cancelling from being heard between steps.
    await setImmediate();
  }

  async #tell(
    before: Promise<void>,
    step: Omit<DrawStep, 'previews'>,
    images: readonly CalotypeImage[],
    finished: Promise<void>,
  ): Promise<void> {
    try {
      const [previews] = await Promise.all([encodePreviews(images, this.#encode), finished, before]);
      this.#onStep({ ...step, previews });
    } catch {
      // A step that fails also fails the call, which is where the error is handled.
    }
  }
}

/** Whether one of `count` previews, spread evenly over the steps before the last, falls on a step. */
function isPreviewed(count: number, index: number, total: number): boolean {
  if (index === total - 1) return false;
  const before = (steps: number): number => Math.floor((steps * (count + 1)) / total);
  return Math.min(count, before(index + 1)) > Math.min(count, before(index));
}
