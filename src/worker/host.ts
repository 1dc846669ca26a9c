/** @file The worker's side: it holds one pipeline and answers requests about it. */
import { cpu } from '../backends/cpu/cpu.ts';
import type { BackendFactory } from '../backends/backend.ts';
import { webgpu } from '../backends/webgpu/webgpu.ts';
import { DeviceLostError, OptionError } from '../errors.ts';
import type { CalotypeImage } from '../image/image.ts';
import { decodePng, encodePng } from '../image/png.ts';
import { readRecipe, type Recipe, recipeTexts } from '../image/recipe.ts';
import { blobModelSource } from '../loaders/model-source.ts';
import { blobSource } from '../loaders/byte-source.ts';
import type { DiffusionPipeline } from '../pipelines/diffusion-pipeline.ts';
import type { FromPretrainedOptions } from '../pipelines/load/from-pretrained.ts';
import { randomSeed } from '../pipelines/noise.ts';
import { pipelineLoader } from '../pipelines/load/pipeline-loader.ts';
import type { ProgressListener } from '../pipelines/progress.ts';
import { openModelCache } from '../platform/opfs-store.ts';
import { platform } from '../platform/platform.ts';
import { SCHEDULERS } from '../schedulers/index.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type {
  CacheState,
  CallName,
  FromWorker,
  LoadedModel,
  ToWorker,
  WorkerCallOptions,
  WorkerCalls,
  WorkerLoadOptions,
  WorkerModel,
  WorkerOutput,
  WorkerRequest,
  WorkerStep,
} from './protocol.ts';
import { sendError } from './sent-error.ts';

/** Sends to the page; buffers in `transfer` move there. */
export type Post = (message: FromWorker, transfer?: readonly ArrayBuffer[]) => void;

/** What a request may do besides answering. */
interface Running {
  readonly signal: AbortSignal;
  progress: ProgressListener;
  step(step: WorkerStep): void;
}

/** The host of one page's worker: give it each message that arrives. */
export class WorkerHost {
  readonly #post: Post;
  readonly #running = new Map<number, AbortController>();
  #pipe: DiffusionPipeline | undefined;
  /** What it was made from, to be opened again where the device is lost. */
  #opened: { readonly model: WorkerModel; readonly options: FromPretrainedOptions } | undefined;
  /** The model's own scheduler, from whose configuration others are made. */
  #ownScheduler: Scheduler | undefined;
  /** Who hears of the weights and kernels that a call brings with it. */
  #progress: ProgressListener = () => undefined;

  constructor(post: Post) {
    this.#post = post;
  }

  receive(message: ToWorker): void {
    if ('abort' in message)
      this.#running.get(message.abort)?.abort(new DOMException('The request was aborted', 'AbortError'));
    else void this.#answer(message);
  }

  async #answer(request: WorkerRequest): Promise<void> {
    const { id } = request;
    const controller = new AbortController();
    this.#running.set(id, controller);
    const running: Running = {
      signal: controller.signal,
      progress: (progress) => this.#post({ id, progress }),
      step: (step) =>
        this.#post(
          { id, step },
          step.previews.map(({ data }) => data.buffer),
        ),
    };
    try {
      const gives = await this.#call(request, running);
      this.#post({ id, gives }, request.call === 'draw' ? buffersOf(gives) : []);
    } catch (error) {
      this.#post({ id, failed: sendError(error) });
    } finally {
      this.#running.delete(id);
    }
  }

  #call(request: WorkerRequest, running: Running): Promise<WorkerCalls[CallName]['gives']> {
    switch (request.call) {
      case 'load':
        return this.#load(request.takes.model, request.takes.options, running);
      case 'draw':
        return this.#draw(request.takes, running);
      case 'encodePng':
        return encode(request.takes.image, request.takes.recipe);
      case 'decodePng':
        return decode(request.takes.png, request.takes.name);
      case 'cache':
        return cacheState();
      case 'uncache':
        return uncache(request.takes);
      case 'dispose':
        return this.#dispose();
    }
  }

  async #load(model: WorkerModel, options: WorkerLoadOptions, running: Running): Promise<LoadedModel> {
    await this.#dispose();
    const { backends, ...given } = options;
    this.#progress = running.progress;
    const pipe = await this.#open(
      model,
      {
        ...given,
        onProgress: (event) => this.#progress(event),
        ...(backends && { backends: backends.map(openableBackend) }),
      },
      running.signal,
    );
    const { className, backend, recommended, notices } = pipe;
    return {
      className,
      backend,
      recommended,
      notices,
      scheduler: String(pipe.scheduler.config['_class_name']),
    };
  }

  async #open(
    model: WorkerModel,
    options: FromPretrainedOptions,
    signal: AbortSignal,
  ): Promise<DiffusionPipeline> {
    const pipe = await openPipeline(model, { ...options, signal });
    this.#pipe = pipe;
    this.#opened = { model, options };
    this.#ownScheduler = pipe.scheduler;
    return pipe;
  }

  /**
   * Draws; where the device is lost meanwhile, the same picture is begun again on a new one, once: what takes a device
   * away twice will do so again.
   */
  async #draw(call: WorkerCallOptions, running: Running): Promise<WorkerOutput> {
    const seeded = { ...call, seed: call.seed ?? randomSeed() };
    try {
      return await this.#drawOnce(seeded, running);
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      await this.#close();
      return { ...(await this.#drawOnce(seeded, running)), recoveredFrom: error.message };
    }
  }

  async #drawOnce(call: WorkerCallOptions, running: Running): Promise<WorkerOutput> {
    this.#progress = running.progress;
    if (this.#pipe === undefined && this.#opened !== undefined)
      await this.#open(this.#opened.model, this.#opened.options, running.signal);
    const pipe = this.#pipe;
    const own = this.#ownScheduler;
    if (pipe === undefined || own === undefined)
      throw new OptionError('no model is loaded', { remedy: 'Load one first, and wait for it' });
    const { scheduler, previews = false, ...options } = call;
    pipe.scheduler = scheduler
      ? SCHEDULERS[scheduler.name].fromConfig(own.config, scheduler.settings ?? {})
      : own;
    const stream = pipe.stream({ ...options, signal: running.signal });
    for await (const { index, total, timestep, preview, finished } of stream) {
      const pictures = previews ? await preview() : [];
      // A step counts when the device is done with it; meanwhile the next is queued. Failures reach the call itself.
      finished.then(
        () => running.step({ index, total, timestep, previews: pictures }),
        () => undefined,
      );
    }
    return { ...(await stream.output), scheduler: String(pipe.scheduler.config['_class_name']) };
  }

  async #dispose(): Promise<undefined> {
    this.#opened = undefined;
    await this.#close();
  }

  /** Frees the pipeline; the next picture opens it again. */
  async #close(): Promise<void> {
    const pipe = this.#pipe;
    this.#pipe = undefined;
    await pipe?.dispose();
  }
}

async function encode(image: CalotypeImage, recipe: Recipe): Promise<Blob> {
  return new Blob([await encodePng(image, { text: recipeTexts(recipe) })], { type: 'image/png' });
}

async function decode(
  png: Blob,
  name: string,
): Promise<{ image: CalotypeImage; recipe: Recipe | undefined }> {
  const { image, text } = decodePng(new Uint8Array(await png.arrayBuffer()), name);
  return { image, recipe: readRecipe(text, name) };
}

async function cacheState(): Promise<CacheState | undefined> {
  const cache = await openModelCache();
  return (
    cache && {
      models: await cache.models(),
      room: await cache.estimate(),
      // Asking again does no harm, and browsers decide anew as people come back.
      persisted: await cache.persist(),
    }
  );
}

async function uncache(name: string): Promise<undefined> {
  await (await openModelCache())?.remove(name);
}

function openPipeline(model: WorkerModel, options: FromPretrainedOptions): Promise<DiffusionPipeline> {
  const { fromPretrained, fromSingleFile } = pipelineLoader(platform);
  if (typeof model === 'string') return fromPretrained(model, options);
  if ('files' in model) return fromPretrained(blobModelSource(model.name, model.files), options);
  const { name, checkpoint } = model;
  return fromSingleFile(typeof checkpoint === 'string' ? checkpoint : blobSource(name, checkpoint), options);
}

function openableBackend(name: 'webgpu' | 'webgpu-software' | 'cpu'): BackendFactory {
  if (name === 'cpu') return cpu();
  return webgpu(name === 'webgpu-software' ? { adapter: 'software' } : {});
}

/** Buffers of a result that need no copy. */
function buffersOf(gives: WorkerCalls[CallName]['gives']): ArrayBuffer[] {
  return typeof gives === 'object' && 'images' in gives ? gives.images.map(({ data }) => data.buffer) : [];
}
