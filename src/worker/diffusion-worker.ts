/**
 * @file The page's side, `calotype/worker`: a pipeline in a worker of its own, so that the page never waits for it.
 */
import type { CalotypeImage } from '../image/image.ts';
import type { Recipe } from '../image/recipe.ts';
import type { AdapterWeight } from '../pipelines/lora/adapter-weights.ts';
import type { PromptTokens } from '../pipelines/prompt/count-tokens.ts';
import type { PromptSyntax } from '../text/prompt-tokens.ts';
import type { ProgressListener } from '../pipelines/progress.ts';
import type {
  CacheState,
  CallName,
  FileKind,
  FromWorker,
  LoadedModel,
  ToWorker,
  WorkerCallOptions,
  WorkerCalls,
  WorkerFile,
  WorkerInversionOptions,
  WorkerLoadOptions,
  WorkerLoraOptions,
  WorkerModel,
  WorkerOutput,
  WorkerRequest,
  WorkerStep,
} from './protocol.ts';
import { askToPersist } from '../platform/persistence.ts';
import { rebuildError } from './sent-error.ts';

/** The part of the DOM's Worker that is used. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: 'message', listener: (event: { readonly data: FromWorker }) => void): void;
  addEventListener(type: 'error', listener: (event: { readonly message?: string }) => void): void;
  terminate(): void;
}
declare const Worker: new (
  url: URL,
  options: { readonly type: 'module'; readonly name: string },
) => WorkerLike;

/** Who hears of a request, and how it is stopped. */
export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

/** As `RequestOptions`, with the steps of a picture. */
export interface DrawOptions extends RequestOptions {
  readonly onStep?: ((step: WorkerStep) => void) | undefined;
}

/** A request that has not been answered yet. */
interface Waiting {
  readonly listener: DrawOptions;
  settle(message: FromWorker): void;
  reject(reason: unknown): void;
}

/** A pipeline in a worker: `await worker.load('owner/model')`, then `await worker.draw({ prompt })`. */
export class DiffusionWorker {
  readonly #worker: WorkerLike;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;

  /** @param worker default: a new worker that runs calotype's own script */
  constructor(worker: WorkerLike = startWorker()) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#hear(data));
    worker.addEventListener('error', ({ message }) =>
      this.#fail(new Error(`the worker failed: ${message ?? 'its script cannot be loaded'}`)),
    );
  }

  /** Loads a model in place of the one before. Throws what `DiffusionPipeline.fromPretrained` and `fromSingleFile` throw. */
  load(
    model: WorkerModel,
    options: WorkerLoadOptions = {},
    request: RequestOptions = {},
  ): Promise<LoadedModel> {
    return this.#request('load', { model, options }, request);
  }

  /** Makes pictures; calls queue. Throws what a call of a pipeline throws. */
  draw(options: WorkerCallOptions, request: DrawOptions = {}): Promise<WorkerOutput> {
    return this.#request('draw', options, request);
  }

  /**
   * Loads a LoRA and makes it the active one. Where the model is opened again after its device was lost, it is there again.
   * @returns what is to be said about it
   */
  loadLoraWeights(
    file: WorkerFile,
    options: WorkerLoraOptions,
    request: RequestOptions = {},
  ): Promise<readonly string[]> {
    return this.#request('loadLoraWeights', { file, options }, request);
  }

  /** Makes these adapters the active ones, for calls that follow. */
  async setAdapters(names: readonly string[], weights: readonly AdapterWeight[]): Promise<void> {
    await this.#request('setAdapters', { names, weights }, {});
  }

  /** Removes adapters. */
  async deleteAdapters(names: readonly string[]): Promise<void> {
    await this.#request('deleteAdapters', names, {});
  }

  /** Adds learned words to the prompts' vocabulary; gives them. */
  loadTextualInversion(
    file: WorkerFile,
    options: WorkerInversionOptions = {},
    request: RequestOptions = {},
  ): Promise<readonly string[]> {
    return this.#request('loadTextualInversion', { file, options }, request);
  }

  /** Removes learned words. */
  async unloadTextualInversion(words: readonly string[]): Promise<void> {
    await this.#request('unloadTextualInversion', words, {});
  }

  /** How much of the model's input a prompt takes, and what in it is weighed. */
  countTokens(prompt: string, syntax: PromptSyntax = 'plain'): Promise<PromptTokens> {
    return this.#request('countTokens', { prompt, syntax }, {});
  }

  /** What a .safetensors file is, by the names in it. Throws FileFormatError for other formats. */
  fileKind(name: string, file: Blob): Promise<FileKind> {
    return this.#request('fileKind', { name, file }, {});
  }

  /** A picture as a PNG file, with its recipe in the texts. */
  encodePng(image: CalotypeImage, recipe: Recipe): Promise<Blob> {
    return this.#request('encodePng', { image, recipe }, {});
  }

  /** The picture in a PNG file, and its recipe if calotype made it. Throws FileFormatError. */
  decodePng(png: Blob, name = 'the picture'): Promise<WorkerCalls['decodePng']['gives']> {
    return this.#request('decodePng', { png, name }, {});
  }

  /** What the model cache of this origin holds; undefined where pages have none. Asks the browser to keep it. */
  cache(): Promise<CacheState | undefined> {
    // Firefox asks people first; what they say holds for the next time.
    void askToPersist();
    return this.#request('cache', undefined, {});
  }

  /** Removes a model from the cache, by the name that `cache` gives. */
  async uncache(name: string): Promise<void> {
    await this.#request('uncache', name, {});
  }

  /** Frees the model. */
  async dispose(): Promise<void> {
    await this.#request('dispose', undefined, {});
  }

  /** Ends the worker at once, whatever it does; what was asked is rejected. */
  terminate(): void {
    this.#worker.terminate();
    this.#fail(new DOMException('The worker was terminated', 'AbortError'));
  }

  #request<Name extends CallName>(
    call: Name,
    takes: WorkerCalls[Name]['takes'],
    listener: DrawOptions,
  ): Promise<WorkerCalls[Name]['gives']> {
    const { signal } = listener;
    const id = ++this.#count;
    const abort = (): void => this.#post({ abort: id });
    const answer = new Promise<WorkerCalls[Name]['gives']>((resolve, reject) => {
      signal?.throwIfAborted();
      this.#waiting.set(id, {
        listener,
        reject,
        settle: (message) => {
          // The host answers a request with what its name says: see WorkerCalls.
          if ('gives' in message) resolve(message.gives as WorkerCalls[Name]['gives']);
          else if ('failed' in message)
            reject(signal?.aborted === true ? signal.reason : rebuildError(message.failed));
        },
      });
      this.#post({ id, call, takes } as WorkerRequest);
      signal?.addEventListener('abort', abort);
    });
    return answer.finally(() => {
      this.#waiting.delete(id);
      signal?.removeEventListener('abort', abort);
    });
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message, []);
  }

  #hear(message: FromWorker): void {
    const waiting = this.#waiting.get(message.id);
    if ('progress' in message) waiting?.listener.onProgress?.(message.progress);
    else if ('step' in message) waiting?.listener.onStep?.(message.step);
    else waiting?.settle(message);
  }

  #fail(reason: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}

function startWorker(): WorkerLike {
  return new Worker(new URL('./worker-script.js', import.meta.url), { type: 'module', name: 'calotype' });
}
