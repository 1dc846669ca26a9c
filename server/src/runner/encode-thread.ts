/** @file A thread of `encodeInThreads`: pictures in, files out. */
import { parentPort } from 'node:worker_threads';
import { sendError } from 'calotype';
import { encodePicture } from './encode.ts';
import type { EncodingAnswer, EncodingTask } from './encoding-thread.ts';

parentPort?.on('message', ({ id, args }: EncodingTask) => {
  encodePicture(...args).then(
    (file) => answer({ id, file }),
    (error: unknown) => answer({ id, failed: sendError(error) }),
  );
});

function answer(message: EncodingAnswer): void {
  parentPort?.postMessage(message);
}
