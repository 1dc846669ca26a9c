/**
 * @file The page's side, `calotype/worker`: a pipeline in a worker of its own, so that the page never waits for it.
 */
import type { CalotypeImage } from '../image/image.ts';
import type { Recipe } from '../image/recipe.ts';
import type { ProgressListener } from '../pipelines/progress.ts';
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
