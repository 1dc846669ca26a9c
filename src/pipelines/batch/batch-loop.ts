/** @file The loop of a continuous batch: who is in it, their steps, and what becomes of those who are done. */

import { previewLatents } from '../../image/preview.ts';
import { beginCall, finishCall, Stopwatch, type BegunCall } from '../call-phases.ts';
import { imageCount } from '../options/text-options.ts';
import { drain } from '../pipeline-stream.ts';
import { draw, QUEUED_STEPS, type PipelineOutput } from '../draw.ts';
import type { StepInfo, Tensor } from '../options/call-options.ts';
import type { BatchHost, BatchListener, ReadyCall } from './continuous-batch.ts';
import { BatchMember, batchKeyOf, RowBatch } from './row-batch.ts';

/** A call on its way. */
interface Entry {
  readonly call: ReadyCall;
  readonly listener: BatchListener;
  /** Since the call was let in. */
  watch: Stopwatch;
  readonly resolve: (output: PipelineOutput) => void;
  readonly reject: (reason: unknown) => void;
  /** Present once its prompts are being encoded. */
  begun?: Promise<BegunCall>;
}

/** A call whose rows are being denoised. */
interface Running {
  readonly entry: Entry;
  readonly member: BatchMember;
}

/** Denoises the calls of a batch until none is left. */
export class BatchLoop {
  readonly #host: BatchHost;
  readonly #maxImages: number;
  readonly #rows: RowBatch;
  readonly #waiting: Entry[] = [];
  #running: Running[] = [];
  #queued: Promise<void>[] = [];
  /** Calls are begun one after the other, while the steps of those before them go on. */
  #beginning: Promise<void> = Promise.resolve();
  /** Pictures are decoded one after the other, likewise. */
  #finishing: Promise<void> = Promise.resolve();
  #adapterKey = '';
  #batchKey = '';
  #isActive = false;

  constructor(host: BatchHost, maxImages: number) {
    this.#host = host;
    this.#maxImages = maxImages;
    this.#rows = new RowBatch(host.denoiser, maxImages);
  }

  get images(): number {
    return this.#running.reduce((sum, { member }) => sum + member.images, 0);
  }

  /** Draws a call when its turn comes. */
  async add(call: ReadyCall, listener: BatchListener): Promise<PipelineOutput> {
    const { signal } = call.options;
    signal?.throwIfAborted();
    let leave = (): void => undefined;
    const drawn = new Promise<PipelineOutput>((resolve, reject) => {
      const entry = { call, listener, watch: new Stopwatch(), resolve, reject };
      leave = () => {
        this.#forget(entry);
        reject(signal?.reason);
      };
      this.#waiting.push(entry);
    });
    // Who waits is let go at once; who is being drawn leaves at the next step.
    signal?.addEventListener('abort', leave);
    if (!this.#isActive) void this.#run();
    else this.#beginAhead();
    try {
      return await drawn;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  /** Takes a call out of those that wait. */
  #forget(entry: Entry): void {
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Works until nothing is left, or the pipeline is wanted for something else. */
  async #run(): Promise<void> {
    this.#isActive = true;
    const release = await this.#host.turn();
    try {
      await this.#admit();
      while (this.#running.length > 0) {
        await this.#step();
        if (!this.#host.isWanted()) await this.#admit();
      }
    } catch (error) {
      // The device failed: nobody's rows are what they should be.
      for (const { entry } of this.#running.splice(0)) entry.reject(error);
    } finally {
      this.#rows.clear();
      this.#queued = [];
      await this.#beginning;
      await this.#finishing;
      release();
      this.#isActive = false;
      if (this.#waiting.length > 0) void this.#run();
    }
  }

  /** Lets those in who come next, as long as they fit with those who are there. */
  async #admit(): Promise<void> {
    const before = this.#running.length;
    for (let [entry] = this.#waiting; entry !== undefined; [entry] = this.#waiting) {
      const outcome = await this.#begin(entry);
      if (outcome === 'waits') break;
      this.#forget(entry);
      if (outcome) this.#running.push({ entry, member: outcome });
      // What was drawn alone may have kept others waiting for long.
      else if (this.#host.isWanted()) break;
    }
    if (this.#running.length > before) await this.#arrange();
    this.#beginAhead();
  }

  /** Begins those who can come next, so that nobody waits for their prompts then. */
  #beginAhead(): void {
    if (this.#running.length === 0) return;
    let images = 0;
    for (const entry of this.#waiting) {
      images += imageCount(entry.call.options);
      if (images > this.#maxImages || !this.#isLikeThose(entry.call)) return;
      void this.#encode(entry);
    }
  }

  /** Whether a call could be with those who are there, but for their number. */
  #isLikeThose(call: ReadyCall): boolean {
    return isShareable(call) && call.adapterKey === this.#adapterKey;
  }

  /** Encodes the prompts of a call after those of the ones before it; once. */
  #encode(entry: Entry): Promise<BegunCall> {
    const { parts, task, options } = entry.call;
    entry.begun ??= this.#beginning.then(async () => {
      options.signal?.throwIfAborted();
      entry.watch = new Stopwatch();
      return beginCall(parts, task, options, this.#host.programs(options.signal), entry.watch);
    });
    // Whoever lets it in meets its failure.
    this.#beginning = entry.begun.then(
      () => undefined,
      () => undefined,
    );
    return entry.begun;
  }

  /** Encodes a call, or draws it if it has to be alone; `waits` if it cannot be with those who are there. */
  async #begin(entry: Entry): Promise<BatchMember | 'waits' | undefined> {
    const { call, listener, resolve, reject } = entry;
    const { parts, task, options } = call;
    const isFirst = this.#running.length === 0;
    const joins = isShareable(call) && imageCount(options) <= this.#maxImages;
    const fits = this.#isLikeThose(call) && this.images + imageCount(options) <= this.#maxImages;
    if (!isFirst && !fits && options.signal?.aborted !== true) return 'waits';
    let begun: BegunCall;
    try {
      options.signal?.throwIfAborted();
      if (isFirst) {
        // Whoever is being begun is so with the adapters of now.
        if (call.adapterKey !== this.#adapterKey) await this.#beginning;
        await call.applyAdapters();
      }
      this.#adapterKey = call.adapterKey;
      const programs = this.#host.programs(options.signal);
      if (!joins) {
        resolve(call.complete(await drain(draw(parts, task, options, programs), listener.onStep)));
        return undefined;
      }
      begun = await this.#encode(entry);
    } catch (error) {
      reject(error);
      return undefined;
    }
    const key = batchKeyOf(begun);
    if (!isFirst && key !== this.#batchKey) return 'waits';
    this.#batchKey = key;
    // Until others let it in, nothing is done for it.
    entry.watch.lap();
    return new BatchMember(begun);
  }

  async #arrange(): Promise<void> {
    await this.#rows.read();
    await this.#rows.arrange(
      this.#running.map(({ member }) => member),
      this.#host.programs(undefined),
    );
  }

  async #step(): Promise<void> {
    for (const { entry } of this.#leave(({ entry }) => entry.call.options.signal?.aborted === true))
      entry.reject(entry.call.options.signal?.reason);
    const [first] = this.#running;
    if (!first) return;
    const members = this.#running.map(({ member }) => member);
    if (this.#rows.isTooLarge(members)) await this.#arrange();
    this.#rows.step(members);
    const finished = first.entry.call.parts.idle();
    // It is awaited below or by whoever stops early; an error must not count as unhandled meanwhile.
    finished.catch(() => undefined);
    this.#queued.push(finished);
    if (this.#queued.length >= QUEUED_STEPS) await this.#queued.shift();
    for (const running of this.#running) await this.#report(running, finished);
    const done = this.#leave(({ member }) => member.isDone);
    if (done.length > 0) await this.#rows.read();
    for (const { entry, member } of done) {
      const { begun, latents } = member;
      entry.watch.lap('denoise');
      this.#finishing = this.#finishing.then(() => this.#finish(entry, begun, latents));
    }
  }

  /** Takes out those who go; their rows stay as they are until rows change. */
  #leave(goes: (running: Running) => boolean): Running[] {
    const gone = this.#running.filter(goes);
    this.#running = this.#running.filter((running) => !gone.includes(running));
    return gone;
  }

  async #report({ entry, member }: Running, finished: Promise<void>): Promise<void> {
    const { listener, call, reject } = entry;
    const { steps, shape } = member.begun;
    const index = member.done - 1;
    const info: StepInfo = { index, total: steps.length, timestep: steps[index].timestep };
    const latents = async (): Promise<Tensor> => {
      await this.#rows.read();
      return { shape, data: member.latents };
    };
    const kind = call.parts.conditioner.microConditions > 0 ? 'sdxl' : 'sd';
    try {
      await listener.onStep?.({
        ...info,
        finished,
        latents,
        preview: async () => previewLatents(await latents(), kind),
      });
    } catch (error) {
      this.#leave((running) => running.entry === entry);
      reject(error);
    }
  }

  async #finish(
    { call, watch, resolve, reject }: Entry,
    begun: BegunCall,
    latents: Float32Array,
  ): Promise<void> {
    const { parts, options } = call;
    try {
      options.signal?.throwIfAborted();
      const programs = this.#host.programs(options.signal);
      resolve(call.complete(await finishCall(parts, begun, latents, programs, watch)));
    } catch (error) {
      reject(error);
    }
  }
}

/** Whether the network's inputs of a call are those of its rows alone. */
function isShareable({ parts, task, options }: ReadyCall): boolean {
  const { control, imagePrompts, residency } = parts;
  const isPlain = task.kind === 'text' || task.kind === 'image';
  const { pagScale = 0, cacheInterval = 1, resumeFrom, callbackOnStepEnd } = options;
  const isWhole = pagScale === 0 && cacheInterval === 1 && resumeFrom === undefined && !callbackOnStepEnd;
  return isPlain && isWhole && !control && !imagePrompts && !residency;
}
