/**
 * @file Continuous batching: calls join the steps that others are at, each at its own step, and leave when they are done.
 */

import type { DenoisingStep, DrawnOutput, PipelineOutput, TextToImageParts } from '../draw.ts';
import { draw, QUEUED_STEPS } from '../draw.ts';
import { beginCall, finishCall, Stopwatch, type BegunCall } from '../call-phases.ts';
import { previewLatents } from '../../image/preview.ts';
import type { Denoiser } from '../denoise/denoiser.ts';
import type { ProgramOptions } from '../network.ts';
import { checkIsOptions, checkOptionNames } from '../../option-names.ts';
import type { CallOptions, CheckedOptions, StepInfo, Tensor } from '../options/call-options.ts';
import { refuse } from '../options/checks.ts';
import type { Task } from '../options/image-options.ts';
import { promptCount } from '../memory/call-memory.ts';
import { BatchMember, batchKeyOf, RowBatch } from './row-batch.ts';

/** Options of `continuousBatch`. */
export interface ContinuousBatchOptions {
  /** Images that are denoised together at most, from 1 to 64; default 8. */
  readonly maxImages?: number;
}

/** Who hears of a call in a batch. */
export interface BatchListener {
  /** Told of each step as it is queued; the batch waits for what this returns. */
  readonly onStep?: (step: DenoisingStep) => void | Promise<void>;
}

/** Calls that share steps: `const batch = pipe.continuousBatch({ maxImages: 8 })`. */
export interface ContinuousBatch {
  /** Images being denoised now. */
  readonly images: number;
  /**
   * Draws as the pipeline does when called with these options, the scheduler and the adapters of this moment. It joins the
   * steps of other calls of this batch where its network runs alike: of the same size, guidance, adapters, length of
   * prompts and kind of scheduler; prompts, seeds, scales, steps and strengths are its own. Calls that cannot join wait
   * until those before them are done, in their order; those with ControlNets, IP-Adapters, inpainting, perturbed-attention
   * guidance, `cacheInterval`, `resumeFrom` or `hires`, and those of a pipeline with a memory budget, are drawn one after the other.
   * The picture is that of a call of its own within rounding: kernels may sum in another order for another batch size.
   * @throws what the pipeline throws
   */
  draw(options: CallOptions, listener?: BatchListener): Promise<PipelineOutput>;
}

/** A call that is checked, with what the pipeline was when it was made. */
export interface ReadyCall {
  readonly parts: TextToImageParts;
  readonly task: Task;
  readonly options: CheckedOptions;
  /** Calls with other adapters have other names. */
  readonly adapterKey: string;
  /** Brings the adapters onto the device. */
  applyAdapters(): Promise<void>;
  /** What the pipeline adds to a result. */
  complete(output: DrawnOutput): PipelineOutput;
}

/** What a batch needs of its pipeline. */
export interface BatchHost {
  readonly denoiser: Denoiser;
  /** Throws OptionError. */
  ready(options: CallOptions): ReadyCall;
  /** A call of the pipeline itself, for what is more than one. */
  stream(options: CallOptions): AsyncGenerator<DenoisingStep, PipelineOutput, void>;
  /** Waits for the pipeline's calls; call the result when done. */
  turn(): Promise<() => void>;
  /** Whether calls of the pipeline itself wait. */
  isWanted(): boolean;
  programs(signal: AbortSignal | undefined): ProgramOptions;
}

/** A call on its way. */
interface Entry {
  readonly call: ReadyCall;
  readonly listener: BatchListener;
  readonly watch: Stopwatch;
  readonly resolve: (output: PipelineOutput) => void;
  readonly reject: (reason: unknown) => void;
  /** Present once prompts are encoded. */
  begun?: BegunCall | undefined;
}

/** A call whose rows are being denoised. */
interface Running {
  readonly entry: Entry;
  readonly member: BatchMember;
}

/** @throws OptionError */
export function openContinuousBatch(host: BatchHost, options: ContinuousBatchOptions = {}): ContinuousBatch {
  checkOptionNames('continuousBatch', options, ['maxImages']);
  const { maxImages = 8 } = options;
  if (!Number.isInteger(maxImages) || maxImages < 1 || maxImages > 64)
    refuse(
      'maxImages',
      `${JSON.stringify(maxImages)} is not a whole number from 1 to 64`,
      'Give one, such as 8',
    );
  return new BatchLoop(host, maxImages);
}

class BatchLoop implements ContinuousBatch {
  readonly #host: BatchHost;
  readonly #maxImages: number;
  readonly #rows: RowBatch;
  readonly #waiting: Entry[] = [];
  #running: Running[] = [];
  #queued: Promise<void>[] = [];
  /** Pictures are decoded one after the other, while the others' steps go on. */
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

  async draw(options: CallOptions, listener: BatchListener = {}): Promise<PipelineOutput> {
    checkIsOptions('draw', options);
    if (options.hires !== undefined) return drain(this.#host.stream(options), listener);
    const call = this.#host.ready(options);
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
  }

  /** Encodes a call, or draws it if it has to be alone; `waits` if it cannot be with those who are there. */
  async #begin(entry: Entry): Promise<BatchMember | 'waits' | undefined> {
    const { call, listener, resolve, reject } = entry;
    const { parts, task, options } = call;
    const isFirst = this.#running.length === 0;
    const joins = isShareable(call) && imagesOf(options) <= this.#maxImages;
    const fits =
      joins && call.adapterKey === this.#adapterKey && this.images + imagesOf(options) <= this.#maxImages;
    if (!isFirst && !fits && options.signal?.aborted !== true) return 'waits';
    try {
      options.signal?.throwIfAborted();
      if (isFirst) await call.applyAdapters();
      this.#adapterKey = call.adapterKey;
      const programs = this.#host.programs(options.signal);
      if (!joins) {
        resolve(call.complete(await drain(draw(parts, task, options, programs), listener)));
        return undefined;
      }
      entry.begun ??= await beginCall(parts, task, options, programs, entry.watch);
    } catch (error) {
      reject(error);
      return undefined;
    }
    const key = batchKeyOf(entry.begun);
    if (!isFirst && key !== this.#batchKey) return 'waits';
    this.#batchKey = key;
    return new BatchMember(entry.begun);
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
      if (!call.options.callbackOnStepEnd) return;
      await finished;
      await call.options.callbackOnStepEnd(info);
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
    watch.lap('denoise');
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
  const { pagScale = 0, cacheInterval = 1, resumeFrom } = options;
  const isWhole = pagScale === 0 && cacheInterval === 1 && resumeFrom === undefined;
  return isPlain && isWhole && !control && !imagePrompts && !residency;
}

function imagesOf(options: CheckedOptions): number {
  return promptCount(options) * options.numImagesPerPrompt;
}

/** Takes all steps of a call. */
async function drain<T>(
  steps: AsyncGenerator<DenoisingStep, T, void>,
  { onStep }: BatchListener,
): Promise<T> {
  for (;;) {
    const next = await steps.next();
    if (next.done === true) return next.value;
    await onStep?.(next.value);
  }
}
