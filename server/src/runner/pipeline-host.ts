/** @file Pipelines by name, loaded when a job first asks for one and let go by a budget; this computes in this process. */
import { setImmediate } from 'node:timers/promises';
import {
  type BackendFactory,
  DiffusionPipeline,
  isWeightFile,
  NotFoundError,
  type PipelineOutput,
  type Scheduler,
} from 'calotype';
import type { DrawResult } from '../draw-request.ts';
import { findModel, type NamedSource } from '../models.ts';
import { batchOptions, schedulerOf, settingsOf } from './batch-options.ts';
import { encodePictures, encodePreviews } from './pictures.ts';
import type { DrawOutcome, RunnerJob } from './runner.ts';

/** What a host offers and may use. */
export interface HostOptions {
  readonly models: readonly NamedSource[];
  /** LoRAs that prompts may name as `<lora:name:weight>`. */
  readonly loras?: readonly NamedSource[];
  /** Backends to try, made anew for each model. */
  readonly backends: () => readonly BackendFactory[];
  readonly dtype?: 'auto' | 'f16' | 'f32';
  /** Models to hold at once; the one used longest ago goes first. Default 1. */
  readonly held?: number;
}

/** A loaded model. */
interface Loaded {
  readonly pipe: DiffusionPipeline;
  /** The model's own, from whose configuration others are made. */
  readonly scheduler: Scheduler;
  /** Names of the LoRAs that are loaded. */
  readonly loras: Set<string>;
}

const LORA_NAME = /<lora:([^:>]+)/g;

/** Holds pipelines and draws batches, one at a time. */
export class PipelineHost {
  readonly #options: HostOptions;
  /** The one that was used last comes last. */
  readonly #loaded = new Map<string, Loaded>();

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** Loads the first model, which is what most jobs will ask for. */
  async load(): Promise<void> {
    await this.#open(this.#options.models[0], new AbortController().signal);
  }

  /** Draws jobs with equal batch keys, or one job. */
  async draw(jobs: readonly RunnerJob[]): Promise<readonly DrawOutcome[]> {
    const begin = performance.now();
    const abort = new AbortController();
    const waiting = new Set(jobs.filter(({ signal }) => !signal.aborted));
    // The batch goes on as long as anybody waits for one of its pictures.
    const leave = jobs.map((job) => () => {
      waiting.delete(job);
      if (waiting.size === 0) abort.abort(job.signal.reason);
    });
    jobs.forEach(({ signal }, i) => signal.addEventListener('abort', leave[i]));
    if (waiting.size === 0) abort.abort(jobs[0].signal.reason);
    try {
      const results = await this.#drawBatch(jobs, abort.signal);
      const seconds = (performance.now() - begin) / 1000;
      return results.map((result, i) => {
        return givenUp(jobs[i]) ?? { drawn: { ...result, seconds } };
      });
    } catch (error) {
      return jobs.map((job) => givenUp(job) ?? { failed: error });
    } finally {
      jobs.forEach(({ signal }, i) => signal.removeEventListener('abort', leave[i]));
    }
  }

  /** Frees all pipelines. */
  async dispose(): Promise<void> {
    for (const { pipe } of this.#loaded.values()) await pipe.dispose();
    this.#loaded.clear();
  }

  async #drawBatch(
    jobs: readonly RunnerJob[],
    signal: AbortSignal,
  ): Promise<readonly Omit<DrawResult, 'seconds'>[]> {
    const requests = jobs.map(({ request }) => request);
    const [first] = requests;
    signal.throwIfAborted();
    const model = findModel(this.#options.models, first.model);
    const { pipe, scheduler, loras } = await this.#open(model, signal);
    await this.#loadLoras(pipe, loras, requests.map(({ prompt }) => prompt).join('\n'), signal);
    pipe.scheduler = schedulerOf(first.scheduler, scheduler);
    const options = batchOptions(requests, pipe.recommended);
    const noticed = pipe.notices.length;
    const output = await takeSteps(pipe.stream({ ...options, signal }), jobs);
    const cut = output.truncatedPrompts.map((end) => `the model did not read: "${end}"`);
    const notices = [...pipe.notices.slice(noticed), ...cut];
    const settings = settingsOf(output.options, pipe.scheduler, first.model);
    const encoded = await encodePictures(requests, output.images, settings);
    return encoded.map((pictures) => ({ pictures, notices }));
  }

  async #open({ name, source }: NamedSource, signal: AbortSignal): Promise<Loaded> {
    const { backends, dtype = 'auto', held = 1 } = this.#options;
    const before = this.#loaded.get(name);
    if (before) {
      this.#loaded.delete(name);
      this.#loaded.set(name, before);
      return before;
    }
    for (const [oldest, { pipe }] of this.#loaded) {
      if (this.#loaded.size < held) break;
      this.#loaded.delete(oldest);
      await pipe.dispose();
    }
    const load = isWeightFile(source) ? DiffusionPipeline.fromSingleFile : DiffusionPipeline.fromPretrained;
    const pipe = await load(source, { backends: backends(), dtype, signal });
    const loaded = { pipe, scheduler: pipe.scheduler, loras: new Set<string>() };
    this.#loaded.set(name, loaded);
    return loaded;
  }

  /** Loads the LoRAs that prompts name, if they are offered; prompts then say how much each counts. */
  async #loadLoras(
    pipe: DiffusionPipeline,
    loaded: Set<string>,
    prompts: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { loras = [] } = this.#options;
    for (const [, adapterName] of prompts.matchAll(LORA_NAME)) {
      if (loaded.has(adapterName)) continue;
      const offered = loras.find(({ name }) => name === adapterName);
      if (!offered)
        throw new NotFoundError(`there is no LoRA '${adapterName}'`, {
          field: 'prompt',
          remedy:
            loras.length > 0 ? `Served are ${loras.map(({ name }) => name).join(', ')}` : 'None are served',
        });
      await pipe.loadLoraWeights(offered.source, { adapterName, signal });
      loaded.add(adapterName);
      // Loading makes it active in every call; only prompts that name it are to have it.
      await pipe.setAdapters([]);
    }
  }
}

/** The outcome of a job that nobody waits for. */
function givenUp({ signal }: RunnerJob): DrawOutcome | undefined {
  const reason: unknown = signal.reason;
  return signal.aborted ? { failed: reason } : undefined;
}

/** Runs a call to its end; jobs hear of steps as the device finishes them, while later ones are being queued. */
async function takeSteps(
  stream: ReturnType<DiffusionPipeline['stream']>,
  jobs: readonly RunnerJob[],
): Promise<PipelineOutput> {
  for await (const { index, total, finished, preview } of stream) {
    const done = index + 1;
    const wanted = jobs.map(({ request }) => isPreviewed(request.previews, index, total));
    const previews = wanted.includes(true) ? await encodePreviews(jobs, await preview()) : [];
    const report = (): void =>
      jobs.forEach(({ onStep }, i) => onStep({ done, total, previews: wanted[i] ? previews[i] : [] }));
    // A step that fails also fails the stream, which is where the error is handled.
    finished.then(report, () => undefined);
    // A backend that computes on this thread would otherwise keep cancelling from being heard between steps.
    await setImmediate();
  }
  return stream.output;
}

/** Whether one of `count` previews, spread evenly over the steps before the last, falls on a step. */
function isPreviewed(count: number, index: number, total: number): boolean {
  if (index === total - 1) return false;
  const before = (steps: number): number => Math.floor((steps * (count + 1)) / total);
  return Math.min(count, before(index + 1)) > Math.min(count, before(index));
}
