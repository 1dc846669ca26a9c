/**
 * @file `pipe.continuousBatch`: calls join the steps that others are at, each at its own step, and leave when they are done.
 * What does it is loaded with the first.
 */

import { drain } from '../pipeline-stream.ts';
import { later } from '../../later.ts';
import { checkIsOptions, checkOptionNames } from '../../option-names.ts';
import type { Denoiser } from '../denoise/denoiser.ts';
import type { DenoisingStep, DrawnOutput, PipelineOutput, TextToImageParts } from '../draw.ts';
import type { ProgramOptions } from '../network.ts';
import type { CallOptions, CheckedOptions } from '../options/call-options.ts';
import { refuse } from '../options/checks.ts';
import type { Task } from '../options/image-options.ts';
import type * as batchLoop from './batch-loop.ts';

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
  let part: typeof batchLoop | undefined;
  let loop: batchLoop.BatchLoop | undefined;
  const load = () => later('continuous batches', () => import('./batch-loop.ts'));
  return {
    get images() {
      return loop?.images ?? 0;
    },
    async draw(called, listener = {}) {
      checkIsOptions('draw', called);
      // A call of two passes is none of a batch; any other has the scheduler and the adapters of this moment.
      const call = called.hires === undefined ? host.ready(called) : undefined;
      // Who comes later joins at once.
      part ??= await load();
      if (!call) return drain(host.stream(called), listener.onStep);
      loop ??= new part.BatchLoop(host, maxImages);
      return loop.add(call, listener);
    },
  };
}
