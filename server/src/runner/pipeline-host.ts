/** @file Draws jobs in this process: their pipelines, LoRAs and batches. */
import { setImmediate } from 'node:timers/promises';
import { type ContinuousBatch, type DenoisingStep, NotFoundError, type Scheduler } from 'calotype';
import type { DrawResult } from '../draw-request.ts';
import { findModel, type NamedSource } from '../models.ts';
import { callOptions, schedulerOf, settingsOf } from './call-options.ts';
import { type LoadOptions, LoadedModels, type LoadedModel } from './loaded-models.ts';
import { encodePictures, encodePreviews } from './pictures.ts';
import type { RunnerJob } from './runner.ts';

/** What a host offers and may use. */
export interface HostOptions extends LoadOptions {
  readonly models: readonly NamedSource[];
  /** LoRAs that prompts may name as `<lora:name:weight>`. */
  readonly loras?: readonly NamedSource[];
  /** Pictures that are drawn at a time, each at its own step; 1, the default, for one call after the other. */
  readonly maxBatch?: number;
}

/** What a host keeps with a pipeline. */
interface Held {
  readonly batch: ContinuousBatch;
  /** The model's own, from whose configuration others are made. */
  readonly scheduler: Scheduler;
  /** Names of the LoRAs that are loaded. */
  readonly loras: Set<string>;
}

const LORA_NAME = /<lora:([^:>]+)/g;

/** Holds pipelines and draws jobs with them. */
export class PipelineHost {
  readonly #options: HostOptions;
  readonly #models: LoadedModels<Held>;
  /** Jobs are begun one after the other: a call has the scheduler and the adapters of the moment it is made. */
  #beginning: Promise<unknown> = Promise.resolve();

  constructor(options: HostOptions) {
    const { maxBatch = 1 } = options;
    this.#options = options;
    this.#models = new LoadedModels(options, (pipe) => ({
      batch: pipe.continuousBatch({ maxImages: maxBatch }),
      scheduler: pipe.scheduler,
      loras: new Set<string>(),
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
    const { drawing, model, noticed, scheduler } = await begun;
    try {
      const output = await drawing;
      const cut = output.truncatedPrompts.map((end) => `the model did not read: "${end}"`);
      const settings = settingsOf(output.options, scheduler, request.model);
      const pictures = await encodePictures(request, output.images, settings);
      return { pictures, notices: [...noticed, ...cut], seconds: (performance.now() - begin) / 1000 };
    } finally {
      await model.release();
    }
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
      const options = { ...callOptions(request, pipe.recommended), signal };
      const drawing = held.batch.draw(options, { onStep: stepReporter(request.previews, onStep) });
      // It is awaited a moment later.
      drawing.catch(() => undefined);
      return { drawing, model, noticed, scheduler };
    } catch (error) {
      await model.release();
      throw error;
    }
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

/** Tells of steps as the device finishes them, while later ones are being queued. */
function stepReporter(count: number, onStep: RunnerJob['onStep']) {
  return async ({ index, total, finished, preview }: DenoisingStep): Promise<void> => {
    const previews = isPreviewed(count, index, total) ? await encodePreviews(await preview()) : [];
    // A step that fails also fails the call, which is where the error is handled.
    finished.then(
      () => onStep({ done: index + 1, total, previews }),
      () => undefined,
    );
    // A backend that computes on this thread would otherwise keep cancelling from being heard between steps.
    await setImmediate();
  };
}

/** Whether one of `count` previews, spread evenly over the steps before the last, falls on a step. */
function isPreviewed(count: number, index: number, total: number): boolean {
  if (index === total - 1) return false;
  const before = (steps: number): number => Math.floor((steps * (count + 1)) / total);
  return Math.min(count, before(index + 1)) > Math.min(count, before(index));
}
