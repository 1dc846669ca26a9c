/** @file Threads in Node: `worker_threads`. */
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { Thread, ThreadListener, WorkerMessage } from './threads.ts';

/** Node's own threads, and what they need. */
export interface NodeThreads {
  /** Threads that can run at once, hyper-threads counted. */
  parallelism(): number;
  start(listener: ThreadListener): Thread;
  /** Turns relaxed SIMD on; it must be done before the first module that uses it is compiled. */
  allowRelaxedSimd(): void;
}

function start(listener: ThreadListener): Thread {
  // Its own flags, so that one that this process was started with (a loader, say) cannot keep it from starting.
  const worker = new Worker(new URL('./cpu-worker.js', import.meta.url), { execArgv: [] });
  worker.on('message', (message: WorkerMessage) => listener.message(message));
  worker.on('error', (error) => listener.died(String(error)));
  worker.on('exit', (code) => listener.died(`it ended with code ${code}`));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: (alive) => (alive ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}

function allowRelaxedSimd(): void {
  // Node 20 has it behind a flag.
  const [major] = process.versions.node.split('.');
  if (Number(major) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
}

export const nodeThreads: NodeThreads = { parallelism: availableParallelism, start, allowRelaxedSimd };
