/** @file Threads of this runtime: `worker_threads` in Node, Web Workers in pages and Deno. */

import { node } from '#node-platform';

/** What a worker of the CPU backend tells. */
export type WorkerMessage =
  { readonly ready: true } | { readonly finished: true } | { readonly failed: string };

/** A worker that runs cpu-worker.js. */
export interface Thread {
  post(message: unknown): void;
  /** Whether it keeps the process alive; at first it does not. */
  keepAlive(alive: boolean): void;
  terminate(): void;
}

/** Told of what a worker says, and of its death. */
export interface ThreadListener {
  message(message: WorkerMessage): void;
  /** It ended, or could not be started, for this reason. */
  died(reason: string): void;
}

/** Pages, workers of pages, and Deno. */
interface WebWorker {
  addEventListener(type: 'message', listener: (event: { readonly data: WorkerMessage }) => void): void;
  addEventListener(
    type: 'error',
    listener: (event: { readonly message?: string; preventDefault(): void }) => void,
  ): void;
  postMessage(message: unknown): void;
  terminate(): void;
}
declare const Worker: new (url: URL, options: { readonly type: 'module' }) => WebWorker;

/** The part of it that Node's types and the DOM's agree on at run time, but not in their declarations. */
declare const MessageChannel: new () => {
  readonly port1: {
    addEventListener(type: 'message', listener: () => void): void;
    start(): void;
    close(): void;
  };
  readonly port2: { postMessage(message: unknown): void };
};

/** Whether memory can be shared with workers: always in Node and Deno, in pages that are cross-origin isolated. */
export function canShareMemory(): boolean {
  if (node?.threads) return true;
  const isolated: unknown = Reflect.get(globalThis, 'crossOriginIsolated');
  return (
    typeof Reflect.get(globalThis, 'Worker') === 'function' &&
    isolated !== false &&
    typeof SharedArrayBuffer === 'function'
  );
}

/** Threads that can run at once, hyper-threads counted; 1 if the runtime does not say. */
export function parallelism(): number {
  if (node?.threads) return node.threads.parallelism();
  const navigator: unknown = Reflect.get(globalThis, 'navigator');
  const count: unknown =
    typeof navigator === 'object' && navigator !== null ? Reflect.get(navigator, 'hardwareConcurrency') : 1;
  return typeof count === 'number' && count >= 1 ? count : 1;
}

/** Starts a worker; `listener` hears of it when it cannot be started. */
export function startThread(listener: ThreadListener): Thread {
  return node?.threads?.start(listener) ?? startWebThread(listener);
}

function startWebThread(listener: ThreadListener): Thread {
  const worker = new Worker(new URL('./cpu-worker.js', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }) => listener.message(data));
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    listener.died(event.message ?? 'its file cannot be loaded');
  });
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: () => undefined,
    terminate: () => worker.terminate(),
  };
}

/** Lets everything else that waits for this thread have its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    // Timers would wait 4 ms in pages.
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(0);
  });
}

/** Makes relaxed SIMD usable where it is behind a flag; to be called before the first module that uses it is compiled. */
export function allowRelaxedSimd(): void {
  node?.threads?.allowRelaxedSimd();
}
