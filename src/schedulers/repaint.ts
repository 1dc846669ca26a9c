/**
 * @file Masked image-to-image (diffusers' inpainting with a UNet that is not made for it): after each step, latents
 * outside the mask become the image's own, as noisy as the next step expects them.
 *
 * The image's latents and the noise ride along as two more slots of the state, and so what happens outside the mask is
 * one more linear map: a step has two rows of coefficients, and each pixel takes the row that the mask gives it.
 */
import { REPAINT_SLOTS } from './coefficients.ts';
import type { NoiseCoefficients, StepCoefficients } from './scheduler.ts';

/** The two forms of a schedule's steps. */
export interface RepaintSteps {
  /** Inside the mask: the scheduler's steps. */
  readonly painted: readonly StepCoefficients[];
  /** Outside the mask: they lead to the noisy image. What a solver remembers evolves as inside. */
  readonly kept: readonly StepCoefficients[];
}

/** @param mixes for each step, how the image and the noise are mixed after it. */
export function repaintSteps(
  steps: readonly StepCoefficients[],
  mixes: readonly NoiseCoefficients[],
): RepaintSteps {
  const painted = steps.map(widen);
  return { painted, kept: painted.map((step, i) => keep(step, mixes[i])) };
}

const NONE = Array.from({ length: REPAINT_SLOTS }, () => 0);

/** The same step with slots that it does not read and leaves as they are. */
function widen(step: StepCoefficients): StepCoefficients {
  const { input, x0, next } = step;
  const slots = input.length;
  const same = NONE.map((_, k) =>
    Array.from({ length: slots + REPAINT_SLOTS }, (_unused, j) => (j === slots + k ? 1 : 0)),
  );
  return {
    ...step,
    input: [...input, ...NONE],
    x0: { ...x0, state: [...x0.state, ...NONE] },
    next: {
      state: [...next.state.map((row) => [...row, ...NONE]), ...same],
      output: [...next.output, ...NONE],
      x0: [...next.x0, ...NONE],
      noise: [...next.noise, ...NONE],
    },
  };
}

function keep(step: StepCoefficients, mix: NoiseCoefficients): StepCoefficients {
  const { state, output, x0, noise } = step.next;
  const latents = [...state[0].slice(0, -REPAINT_SLOTS).fill(0), mix.sample, mix.noise];
  const cleared = (row: readonly number[]): number[] => [0, ...row.slice(1)];
  return {
    ...step,
    next: {
      state: [latents, ...state.slice(1)],
      output: cleared(output),
      x0: cleared(x0),
      noise: cleared(noise),
    },
  };
}
