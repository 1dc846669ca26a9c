/** @file The worker's side: it holds one pipeline and answers requests about it. */
import { cpu } from '../backends/cpu/cpu.ts';
import type { BackendFactory } from '../backends/backend.ts';
import { webgpu } from '../backends/webgpu/webgpu.ts';
import { DeviceLostError, OptionError, OutOfMemoryError } from '../errors.ts';
import { blobModelSource } from '../loaders/model-source.ts';
import { blobSource } from '../loaders/byte-source.ts';
import type { DiffusionPipeline } from '../pipelines/diffusion-pipeline.ts';
import type { AddedFileSource } from '../pipelines/load/added-file.ts';
import type { FromPretrainedOptions } from '../pipelines/load/from-pretrained.ts';
import { typedMemoryError } from '../out-of-memory.ts';
import { randomSeed } from '../pipelines/noise.ts';
import { pipelineLoader } from '../pipelines/load/pipeline-loader.ts';
import type { Checkpoint } from '../pipelines/checkpoint.ts';
import type { ProgressListener } from '../pipelines/progress.ts';
import { platform } from '../platform/platform.ts';
import { loadScheduler } from '../schedulers/load.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import { Additions, sourceOf } from './additions.ts';
import { cacheState, decode, encode, uncache } from './modelless.ts';
import type {
  CallName,
  FileKind,
  FromWorker,
  LoadedModel,
  ToWorker,
  WorkerBackend,
  WorkerCallOptions,
  WorkerCalls,
  WorkerFile,
  WorkerFolder,
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

/** Requests that need a pipeline and draw nothing. */
type ChangeName =
  | 'loadLoraWeights'
  | 'setAdapters'
  | 'deleteAdapters'
  | 'loadTextualInversion'
  | 'unloadTextualInversion'
  | 'countTokens';
type ChangeRequest = Extract<WorkerRequest, { readonly call: ChangeName }>;

/** The host of one page's worker: give it each message that arrives. */
export class WorkerHost {
  readonly #post: Post;
  readonly #running = new Map<number, AbortController>();
  #pipe: DiffusionPipeline | undefined;
  /** What it was made from, to be opened again where the device is lost. */
  #opened: { readonly model: WorkerModel; readonly options: FromPretrainedOptions } | undefined;
  #additions = new Additions();
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
      this.#post({ id, failed: sendError(typedMemoryError(error)) });
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
      case 'loadLoraWeights':
      case 'setAdapters':
      case 'deleteAdapters':
      case 'loadTextualInversion':
      case 'unloadTextualInversion':
      case 'countTokens':
        return this.#change(request, running);
      case 'fileKind':
        return kindOf(request.takes.name, request.takes.file);
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
    const { backends, componentBackends, controlnet, ...given } = options;
    const openable = openableBackends();
    this.#progress = running.progress;
    const pipe = await this.#open(
      model,
      {
        ...given,
        ...(controlnet && { controlnet: controlnet.map(openableNet) }),
        onProgress: (event) => this.#progress(event),
        ...(backends && { backends: backends.map(openable) }),
        ...(componentBackends && {
          componentBackends: Object.fromEntries(
            Object.entries(componentBackends).map(([component, name]) => [component, openable(name)]),
          ),
        }),
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
    try {
      await this.#additions.restore(pipe, signal);
    } catch (error) {
      await pipe.dispose();
      throw error;
    }
    this.#pipe = pipe;
    this.#opened = { model, options };
    this.#ownScheduler = pipe.scheduler;
    return pipe;
  }

  /**
   * Draws; where the device is lost meanwhile, the picture goes on at its last step on a new one, once: what takes a
   * device away twice will do so again.
   */
  async #draw(call: WorkerCallOptions, running: Running): Promise<WorkerOutput> {
    const seeded = { ...call, seed: call.seed ?? randomSeed() };
    let reached: Checkpoint | undefined;
    try {
      return await this.#drawOnce(seeded, running, (checkpoint) => (reached = checkpoint));
    } catch (error) {
      // What memory was taken is freed; the next picture, which may be a smaller one, opens the model again.
      if (error instanceof OutOfMemoryError) await this.#close();
      if (!(error instanceof DeviceLostError)) throw error;
      await this.#close();
      const output = await this.#drawOnce({ ...seeded, ...(reached && { resumeFrom: reached }) }, running);
      return { ...output, recoveredFrom: error.message, recoveredAt: reached?.done ?? 0 };
    }
  }

  async #drawOnce(
    call: WorkerCallOptions,
    running: Running,
    onCheckpoint?: (checkpoint: Checkpoint) => void,
  ): Promise<WorkerOutput> {
    const { pipe, own } = await this.#ready(running);
    const { scheduler, previews = false, ...options } = call;
    pipe.scheduler = scheduler
      ? (await loadScheduler(scheduler.name)).fromConfig(own.config, scheduler.settings ?? {})
      : own;
    const stream = pipe.stream({ ...options, signal: running.signal });
    for await (const { index, total, timestep, preview, checkpoint, finished } of stream) {
      // Of two passes, neither says where the other is.
      if (onCheckpoint && checkpoint && options.hires === undefined)
        checkpoint().then(onCheckpoint, () => undefined);
      const pictures = previews ? await preview() : [];
      // A step counts when the device is done with it; meanwhile the next is queued. Failures reach the call itself.
      finished.then(
        () => running.step({ index, total, timestep, previews: pictures }),
        () => undefined,
      );
    }
    return { ...(await stream.output), scheduler: String(pipe.scheduler.config['_class_name']) };
  }

  /** The pipeline, opened again where its device was lost. */
  async #ready(running: Running): Promise<{ readonly pipe: DiffusionPipeline; readonly own: Scheduler }> {
    this.#progress = running.progress;
    if (this.#pipe === undefined && this.#opened !== undefined)
      await this.#open(this.#opened.model, this.#opened.options, running.signal);
    const pipe = this.#pipe;
    const own = this.#ownScheduler;
    if (pipe === undefined || own === undefined)
      throw new OptionError('no model is loaded', { remedy: 'Load one first, and wait for it' });
    return { pipe, own };
  }

  /** What is loaded beside the model, and its vocabulary. */
  async #change(request: ChangeRequest, running: Running): Promise<WorkerCalls[ChangeName]['gives']> {
    const { pipe } = await this.#ready(running);
    const additions = this.#additions;
    switch (request.call) {
      case 'loadLoraWeights': {
        const { file, options } = request.takes;
        const before = pipe.notices.length;
        await additions.addAdapter(pipe, file, options, running);
        return pipe.notices.slice(before);
      }
      case 'setAdapters':
        await additions.setAdapters(pipe, request.takes.names, request.takes.weights);
        return undefined;
      case 'deleteAdapters':
        await additions.deleteAdapters(pipe, request.takes);
        return undefined;
      case 'loadTextualInversion':
        return additions.addWords(pipe, request.takes.file, request.takes.options, running);
      case 'unloadTextualInversion':
        await additions.removeWords(pipe, request.takes);
        return undefined;
      case 'countTokens':
        return pipe.countTokens(request.takes.prompt, request.takes.syntax);
    }
  }

  async #dispose(): Promise<undefined> {
    this.#additions = new Additions();
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

function openPipeline(model: WorkerModel, options: FromPretrainedOptions): Promise<DiffusionPipeline> {
  const { fromPretrained, fromSingleFile } = pipelineLoader(platform);
  if (typeof model === 'string') return fromPretrained(model, options);
  if ('files' in model) return fromPretrained(blobModelSource(model.name, model.files), options);
  const { name, checkpoint } = model;
  return fromSingleFile(typeof checkpoint === 'string' ? checkpoint : blobSource(name, checkpoint), options);
}

function openableNet(net: WorkerFile | WorkerFolder): AddedFileSource {
  return typeof net === 'object' && 'files' in net ? blobModelSource(net.name, net.files) : sourceOf(net);
}

/** Read only when a file was picked: it knows the layouts of checkpoints. */
async function kindOf(name: string, file: Blob): Promise<FileKind> {
  return (await import('./file-kind.ts')).fileKind(name, file);
}

/** Backends by name, each made once. */
function openableBackends(): (name: WorkerBackend) => BackendFactory {
  const made = new Map<WorkerBackend, BackendFactory>();
  return (name) => {
    const backend =
      made.get(name) ??
      (name === 'cpu' ? cpu() : webgpu(name === 'webgpu-software' ? { adapter: 'software' } : {}));
    made.set(name, backend);
    return backend;
  };
}

/** Buffers of a result that need no copy. */
function buffersOf(gives: WorkerCalls[CallName]['gives']): ArrayBuffer[] {
  return typeof gives === 'object' && 'images' in gives ? gives.images.map(({ data }) => data.buffer) : [];
}
