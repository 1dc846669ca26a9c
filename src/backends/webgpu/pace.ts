/**
 * @file How much work is submitted at once. Desktops take a device away whose work holds it for about 2 seconds (Windows'
 * TDR, the watchdogs of other systems), and meanwhile nothing else is drawn on the screen. So a run whose work would take
 * longer than half a second goes to the queue in several submits, and a launch that would do so by itself goes in parts
 * (launch-parts.ts). What is computed stays the same to the bit.
 *
 * How long work takes is told from how fast the device was: a program's own runs or, before the first of them, other
 * programs'. Adapters that are fast enough are found so by their first runs, and submit every run whole from then on.
 */
import type { ValueId } from '../../graph/op.ts';
import { bytesMoved, flopsOf, type Node } from '../../graph/ops.ts';
import type { PlannedValue } from '../../plan/plan.ts';
import type { OpenDevice } from './device.ts';
import { RunTimer } from './run-timer.ts';

/** The most milliseconds of work that are submitted at once; the rest of the 2 seconds is for what was not foreseen. */
export const SUBMIT_MS = 500;

/** Work a millisecond of the slowest GPUs that draw pictures at all, for runs before the first was measured. */
const SLOWEST = 20e6;

/** What moving a byte counts for, in floating point operations: GPUs do some tens in the time. */
const FLOPS_A_BYTE = 20;

/** What a node is to a device, in floating point operations. */
export function workOf(node: Node, valueOf: (value: ValueId) => PlannedValue): number {
  const flops = flopsOf(node, (value) => ({ shape: valueOf(value).shape, dtype: 'float' }));
  return Number(flops) + FLOPS_A_BYTE * bytesMoved(node, (value) => valueOf(value).bytes);
}

/** A run that is being measured. */
interface Learning {
  /** To be given the times of the run's passes. */
  readonly timer: RunTimer | undefined;
  /** All of the run was submitted. */
  end(): void;
}

/** How fast a device is, or one program on it. */
export class Pace {
  readonly #submitMs: number;
  readonly #of: Pace | undefined;
  #own: number | undefined;
  #isLearning = false;

  /**
   * @param submitMs the most milliseconds of a submit; Infinity where nothing watches
   * @param of the device's pace, for a program's
   */
  constructor(submitMs: number, of?: Pace) {
    this.#submitMs = submitMs;
    this.#of = of;
  }

  /** The pace of a program. */
  ofProgram(): Pace {
    return new Pace(this.#submitMs, this);
  }

  /** Work a millisecond, of this program or, before that is known, on its device; undefined if nothing was measured. */
  get rate(): number | undefined {
    return this.#own ?? this.#of?.rate;
  }

  /** The most work that is submitted at once. */
  get limit(): number {
    return this.#submitMs * (this.rate ?? SLOWEST);
  }

  /**
   * Measures a run, if it is a program's first one, or one that is cut: something else may have held the device up when
   * it was measured before.
   */
  begin(device: OpenDevice, work: number): Learning | undefined {
    const isKnown = this.#own !== undefined && work <= this.limit;
    if (isKnown || this.#isLearning || this.#submitMs === Infinity || work === 0) return undefined;
    this.#isLearning = true;
    const timer = device.hasTimestamps ? new RunTimer(device, 1) : undefined;
    const begun = performance.now();
    return {
      timer,
      end: () => void this.#learn(device, work, begun, timer),
    };
  }

  /** Work took some time. */
  learn(work: number, milliseconds: number): void {
    if (milliseconds <= 0) return;
    this.#own = work / milliseconds;
    this.#of?.learn(work, milliseconds);
  }

  async #learn(device: OpenDevice, work: number, begun: number, timer: RunTimer | undefined): Promise<void> {
    try {
      if (timer) {
        const [{ begin, end }] = await timer.read();
        this.learn(work, end - begin);
      } else {
        // By this clock everything counts that was queued before: the device may be faster than that, but not slower.
        await device.gpu.queue.onSubmittedWorkDone();
        this.learn(work, performance.now() - begun);
      }
    } catch {
      // A device that is lost says so to whoever waits for results.
    } finally {
      this.#isLearning = false;
    }
  }
}

/** Launches of a recording. */
interface Range {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/**
 * Cuts launches so that the work of each range is no more than a limit; a launch that is over it is a range by itself.
 * @param work of each launch of the recording
 */
export function cutRun(work: Float64Array, from: number, to: number, limit: number): Range[] {
  const ranges: Range[] = [];
  let first = from;
  let sum = 0;
  for (let i = from; i < to; i++) {
    if (i > first && sum + work[i] > limit) {
      ranges.push({ from: first, to: i });
      [first, sum] = [i, 0];
    }
    sum += work[i];
  }
  return [...ranges, { from: first, to }];
}
