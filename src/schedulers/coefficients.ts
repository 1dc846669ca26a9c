/**
 * @file The coefficient table: every scheduler's steps as rows of numbers that one fused kernel reads.
 *
 * A table is [rows, columns] f32, a row for each step; `row` inputs say which row each image of a batch uses, so
 * images at different steps, of different schedules, can share a batch. For S state slots a row holds
 *
 *     guidanceScale, guidanceRescale, input[S], x0.state[S], x0.output, clip,
 *     next.state[S * S] (slot written, then slot read), next.output[S], next.x0[S], next.noise[S]
 *
 * and means, element by element, with `output` after guidance:
 *
 *     network input = sum_j input[j] * state[j]
 *     x0            = clamp(sum_j x0.state[j] * state[j] + x0.output * output, -clip, clip)
 *     state'[k]     = sum_j next.state[k, j] * state[j] + next.output[k] * output + next.x0[k] * x0 + next.noise[k] * noise
 */

import type { StepCoefficients } from './scheduler.ts';

/** Slots that repainting adds to a scheduler's state: the image's latents, then the noise; see repaint.ts. */
export const REPAINT_SLOTS = 2;

/** Stands for "no clipping" in tables: WGSL has no infinity literals, and nothing finite reaches this. */
const NO_CLIP = 3.4e38;

/** First column of each part of a row, and the number of columns. */
export interface CoefficientColumns {
  readonly guidanceScale: number;
  readonly guidanceRescale: number;
  readonly input: number;
  readonly x0State: number;
  readonly x0Output: number;
  readonly clip: number;
  readonly nextState: number;
  readonly nextOutput: number;
  readonly nextX0: number;
  readonly nextNoise: number;
  /** Columns of a row. */
  readonly count: number;
}

/** Where each part of a row begins, for a scheduler with this many state slots. */
export function coefficientColumns(slots: number): CoefficientColumns {
  const input = 2;
  const x0State = input + slots;
  const x0Output = x0State + slots;
  const clip = x0Output + 1;
  const nextState = clip + 1;
  const nextOutput = nextState + slots * slots;
  const nextX0 = nextOutput + slots;
  const nextNoise = nextX0 + slots;
  return {
    guidanceScale: 0,
    guidanceRescale: 1,
    input,
    x0State,
    x0Output,
    clip,
    nextState,
    nextOutput,
    nextX0,
    nextNoise,
    count: nextNoise + slots,
  };
}

/** Classifier-free guidance of a request: its scale, and diffusers' `guidance_rescale` (0 for none). */
export interface GuidanceCoefficients {
  /** One for all steps, or one for each. */
  readonly scale: number | readonly number[];
  readonly rescale: number;
}

/** The rows of a schedule as one table, [steps.length, coefficientColumns(slots).count], row-major. */
export function packCoefficients(
  steps: readonly StepCoefficients[],
  guidance: GuidanceCoefficients,
): Float32Array {
  const slots = steps[0]?.input.length ?? 0;
  const columns = coefficientColumns(slots);
  const table = new Float32Array(steps.length * columns.count);
  steps.forEach(({ input, x0, next }, step) => {
    const row = table.subarray(step * columns.count, (step + 1) * columns.count);
    row[columns.guidanceScale] = typeof guidance.scale === 'number' ? guidance.scale : guidance.scale[step];
    row[columns.guidanceRescale] = guidance.rescale;
    row.set(input, columns.input);
    row.set(x0.state, columns.x0State);
    row[columns.x0Output] = x0.output;
    row[columns.clip] = Math.min(x0.clip, NO_CLIP);
    next.state.forEach((from, slot) => row.set(from, columns.nextState + slot * slots));
    row.set(next.output, columns.nextOutput);
    row.set(next.x0, columns.nextX0);
    row.set(next.noise, columns.nextNoise);
  });
  return table;
}
