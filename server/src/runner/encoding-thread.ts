/** @file Pictures are encoded beside the thread that feeds the device, which would wait for each of them otherwise. */
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

/**
 * Starts a thread that encodes pictures. It does not keep the process alive.
 * @param script the built `encode-thread.ts`
 */
export function encodeInThread(script: URL): PictureEncoder {
  const encodings = new Map<number, Encoding>();
  let next = 0;
  const thread = new Worker(script);
  thread.unref();
  thread.on('message', (answer: EncodingAnswer) => {
    const encoding = encodings.get(answer.id);
    encodings.delete(answer.id);
    if ('file' in answer) encoding?.resolve(answer.file);
    else encoding?.reject(rebuildError(answer.failed));
  });
  // Errors of pictures are answers; this is the thread's end, after which nothing can be drawn here.
  thread.on('error', (error) => {
    throw error;
  });
  return (...args) =>
    new Promise((resolve, reject) => {
      const id = next++;
      encodings.set(id, { resolve, reject });
      const [{ data }] = args;
      thread.postMessage({ id, args } satisfies EncodingTask, [data.buffer]);
    });
}
