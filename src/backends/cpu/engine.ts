/**
 * @file What computes: a linear memory, the kernels, and threads that work through launch lists.
 *
 * Work is queued and done in order. Launch lists run on workers, or, where there can be none, on the calling thread in
 * slices; what the host does to the memory (`enqueue`) waits for the lists that were queued before it.
 */

import { DeviceLostError, KernelError, type CalotypeError } from '../../errors.ts';
import { nextTurn, startThread, type Thread, type WorkerMessage } from '../../platform/threads.ts';
import { THREAD_SCRATCH_BYTES } from './kernel.ts';
import { LinearMemory, type Range } from './memory.ts';

/** Bytes of the run loop's control block (wasm/main.ts). */
const CONTROL_BYTES = 192;
/** Where the control block keeps the address of the current launch: the upper half of its cursor. */
const CURRENT_LAUNCH_OFFSET = 4;

/** How long the calling thread computes before it lets others have their turn. */
const SLICE_MILLISECONDS = 20;

/** The exports that the host calls. */
interface RunLoop {
  begin(control: number, launch: number): void;
  post(control: number, launch: number): void;
  stop(control: number): void;
  step(control: number, scratch: number): number;
  heapBase(): number;
  readonly table: { grow(count: number): number; set(index: number, value: unknown): void };
}

/** Runs that are to be done, and what the host has to do between them. */
type Job =
  | { readonly kind: 'run'; readonly list: number }
  | { readonly kind: 'call'; call(): void; reject(error: unknown): void };

/** Options of `openEngine`. */
export interface EngineOptions {
  /** Workers; 0 computes on the calling thread. */
  readonly threads: number;
  /** The most bytes to use; default: all that WebAssembly can address. */
  readonly memoryLimit?: number;
}

/** Starts the threads and waits until all are there. Throws DeviceLostError saying why one cannot be started. */
export async function openEngine(module: WebAssembly.Module, options: EngineOptions): Promise<Engine> {
  const engine = new Engine(module, options.memoryLimit);
  try {
    await engine.start(options.threads);
    return engine;
  } catch (error) {
    engine.dispose();
    throw error;
  }
}

/** An open CPU device. */
export class Engine {
  readonly memory: LinearMemory;
  readonly #module: WebAssembly.Module;
  readonly #loop: RunLoop;
  /** Index in every thread's table, by the name of the export. */
  readonly #functions = new Map<string, number>();
  readonly #control: number;
  readonly #threads: Thread[] = [];
  /** The calling thread's own scratch, if it computes. */
  #scratch = 0;
  readonly #queue: Job[] = [];
  #busy = false;
  #failure: CalotypeError | undefined;

  constructor(module: WebAssembly.Module, memoryLimit?: number) {
    this.#module = module;
    // Static data begins below the first kibibytes; where it ends is known once the module has been instantiated.
    this.memory = new LinearMemory(STATIC_BYTES, memoryLimit);
    const exports: unknown = new WebAssembly.Instance(module, {
      env: { memory: this.memory.memory },
      main: {
        finished: () => this.#finished(),
        now: () => performance.timeOrigin + performance.now(),
      },
    }).exports;
    if (!isRunLoop(exports)) throw lost('the module lacks its run loop');
    this.#loop = exports;
    if (exports.heapBase() > STATIC_BYTES) throw lost('the module has more static data than expected');
    // The order of the module's exports is what function indices mean, here and in cpu-worker.js.
    for (const { name, kind } of WebAssembly.Module.exports(module))
      if (kind === 'function') {
        const index = exports.table.grow(1);
        exports.table.set(index, Reflect.get(exports, name));
        this.#functions.set(name, index);
      }
    this.#control = this.memory.allocate(CONTROL_BYTES, 'the run loop').address;
    this.memory.bytes(this.#control, CONTROL_BYTES).fill(0);
  }

  /** Workers; 0 if the calling thread computes. */
  get threads(): number {
    return this.#threads.length;
  }

  /** Starts workers; see `openEngine`. */
  async start(threads: number): Promise<void> {
    if (threads === 0) this.#scratch = this.#newScratch();
    await Promise.all(Array.from({ length: threads }, () => this.#startThread()));
    this.#keepAlive(false);
  }

  /** The index of an export; throws KernelError for one that is not there. */
  functionIndex(name: string): number {
    const index = this.#functions.get(name);
    if (index !== undefined) return index;
    throw new KernelError(`there is no WebAssembly function "${name}"`, {
      remedy: 'This is a bug in a kernel of the CPU backend',
    });
  }

  /** Throws what went wrong since the engine was opened. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Queues a run of a launch list. */
  run(list: number): void {
    this.check();
    this.#queue.push({ kind: 'run', list });
    this.#pump();
  }

  /** Whether something queued before would still have to be done first. */
  get isBusy(): boolean {
    return this.#busy;
  }

  /** Does something after all that was queued before, at once if nothing is; rejects if the engine fails. */
  enqueue<T>(call: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.check();
      this.#queue.push({ kind: 'call', call: () => resolve(call()), reject });
      this.#pump();
    });
  }

  /** Gives ranges back after all that was queued before; resolves then, or when the engine fails. */
  releaseLater(ranges: readonly Range[]): Promise<void> {
    if (this.#failure) return Promise.resolve();
    const released = this.enqueue(() => {
      for (const range of ranges) this.memory.release(range);
    });
    return released.catch(() => undefined);
  }

  /** Ends all threads. Nothing may be queued any more. */
  dispose(): void {
    this.#fail(
      new DeviceLostError('the CPU backend was disposed of', {
        remedy: 'Open it again, and dispose of it after its last use',
      }),
    );
  }

  #newScratch(): number {
    return this.memory.allocate(THREAD_SCRATCH_BYTES, 'scratch of a thread').address;
  }

  async #startThread(): Promise<void> {
    const scratch = this.#newScratch();
    await new Promise<void>((resolve, reject) => {
      const fail = (error: CalotypeError): void => {
        reject(error);
        this.#fail(error);
      };
      const thread = startThread({
        message: (message) => ('ready' in message ? resolve() : this.#hear(message)),
        died: (reason) => fail(lost(`a worker thread is gone: ${reason}`)),
      });
      this.#threads.push(thread);
      thread.keepAlive(true);
      thread.post({ module: this.#module, memory: this.memory.memory, control: this.#control, scratch });
    });
  }

  #hear(message: WorkerMessage): void {
    if ('finished' in message) this.#finished();
    if ('failed' in message) this.#fail(this.#trap(message.failed));
  }

  #trap(reason: string): KernelError {
    const [launch] = this.memory.integers(this.#control + CURRENT_LAUNCH_OFFSET, 1);
    const index = launch === 0 ? undefined : this.memory.integers(launch >>> 0, 1)[0];
    const name = [...this.#functions].find(([, known]) => known === index)?.[0];
    return new KernelError(
      `a thread stopped${name === undefined ? '' : ` in the kernel "${name}"`}: ${reason}`,
      {
        remedy: 'This is a bug in a kernel: report it with the output of "calotype doctor"',
      },
    );
  }

  #finished(): void {
    this.#busy = false;
    // The calling thread is inside a kernel's call here: it goes on with the queue when that has returned.
    if (this.#threads.length > 0) this.#pump();
  }

  #pump(): void {
    while (!this.#busy) {
      const job = this.#queue.shift();
      if (!job) return this.#keepAlive(false);
      if (job.kind === 'call') {
        try {
          job.call();
        } catch (error) {
          job.reject(error);
        }
        continue;
      }
      this.#busy = true;
      if (this.#threads.length > 0) {
        this.#keepAlive(true);
        this.#loop.post(this.#control, job.list);
      } else void this.#runHere(job.list);
    }
  }

  async #runHere(list: number): Promise<void> {
    try {
      await nextTurn();
      if (this.#failure) return;
      this.#loop.begin(this.#control, list);
      while (this.#busy) {
        const end = performance.now() + SLICE_MILLISECONDS;
        while (this.#busy && performance.now() < end) this.#loop.step(this.#control, this.#scratch);
        if (this.#busy) await nextTurn();
        if (this.#failure) return;
      }
    } catch (error) {
      return this.#fail(this.#trap(String(error)));
    }
    this.#pump();
  }

  /** One worker that counts is enough to keep a process alive. */
  #keepAlive(alive: boolean): void {
    for (const thread of this.#threads) thread.keepAlive(alive);
  }

  #fail(error: CalotypeError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#loop.stop(this.#control);
    for (const thread of this.#threads) thread.terminate();
    for (const job of this.#queue.splice(0)) if (job.kind === 'call') job.reject(error);
  }
}

/** Room for the module's static data, below everything that is handed out. */
const STATIC_BYTES = 64 * 1024;

function isRunLoop(exports: unknown): exports is RunLoop {
  return (
    typeof exports === 'object' &&
    exports !== null &&
    ['begin', 'post', 'step', 'stop', 'heapBase', 'table'].every((name) => name in exports)
  );
}

function lost(problem: string): DeviceLostError {
  return new DeviceLostError(problem, {
    remedy: 'Open the backend again; if it happens again, use cpu({ threads: 0 }), which needs no workers',
  });
}
