/** @file Pictures are encoded beside the thread that feeds the device, which would wait for each of them otherwise. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { rebuildError, type SentError } from 'calotype';
import type { PictureEncoder } from './encode.ts';

/** To the thread. */
export interface EncodingTask {
  readonly id: number;
  /** The picture's pixels go to the thread for good. */
  readonly args: Parameters<PictureEncoder>;
}

/** From the thread. */
export type EncodingAnswer =
  { readonly id: number; readonly file: Uint8Array } | { readonly id: number; readonly failed: SentError };

/** A picture that is being encoded. */
interface Encoding {
  readonly resolve: (file: Uint8Array) => void;
  readonly reject: (reason: unknown) => void;
}

/** Most threads of a runner, where it has cores enough: pictures of a batch are often done together. */
const MOST = 4;

/**
 * Encodes pictures in threads, which are started as there are pictures for them. They do not keep the process alive.
 * @param script the built `encode-thread.ts`
 * @param most threads; default one for two cores, at most 4
 */
export function encodeInThreads(
  script: URL,
  most = Math.max(1, Math.min(MOST, availableParallelism() >> 1)),
): PictureEncoder {
  const threads: EncodingThread[] = [];
  const free = (): EncodingThread => {
    const [least] = threads.toSorted((a, b) => a.waiting - b.waiting);
    if (threads.length === most || least?.waiting === 0) return least;
    const started = new EncodingThread(script);
    threads.push(started);
    return started;
  };
  return async (...args) => free().encode(args);
}

/** One thread. */
class EncodingThread {
  readonly #thread: Worker;
  readonly #encodings = new Map<number, Encoding>();
  #next = 0;

  constructor(script: URL) {
    this.#thread = new Worker(script);
    this.#thread.unref();
    this.#thread.on('message', (answer: EncodingAnswer) => {
      const encoding = this.#encodings.get(answer.id);
      this.#encodings.delete(answer.id);
      if ('file' in answer) encoding?.resolve(answer.file);
      else encoding?.reject(rebuildError(answer.failed));
    });
    // Errors of pictures are answers; this is the thread's end, after which nothing can be drawn here.
    this.#thread.on('error', (error) => {
      throw error;
    });
  }

  /** Pictures that it has. */
  get waiting(): number {
    return this.#encodings.size;
  }

  async encode(args: EncodingTask['args']): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#encodings.set(id, { resolve, reject });
      const [{ data }] = args;
      this.#thread.postMessage({ id, args } satisfies EncodingTask, [data.buffer]);
    });
  }
}
