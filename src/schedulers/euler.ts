/**
 * @file What the Euler schedulers share: state x = clean + sigma * noise, and steps along (x - x0) / sigma.
 */
import { interpolate } from './arrays.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import { checkIndex } from './schedule.ts';
import type { NoiseCoefficients, StepCoefficients } from './scheduler.ts';
import type { TimestepSpacing } from './spacing.ts';

/** Timesteps as the network is told them, and sigmas: entry i of each belongs to step i, the next sigma is its aim. */
export interface SigmaSchedule {
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[];
}

/** Training sigmas at timesteps, fractional ones too. */
export function sigmasAt(timesteps: readonly number[], trainingSigmas: Float32Array): number[] {
  return timesteps.map((timestep) => interpolate(trainingSigmas, timestep));
}

/** Standard deviation of the initial latents: the first sigma, or with the picture's own variance for 'leading'. */
export function eulerInitNoiseSigma(sigmas: readonly number[], spacing: TimestepSpacing): number {
  const largest = Math.max(...sigmas);
  return spacing === 'leading' ? Math.sqrt(largest ** 2 + 1) : largest;
}

/** Adding noise for a start at a step: x = clean + sigma * noise. */
export function eulerNoiseCoefficients(
  { timesteps, sigmas }: SigmaSchedule,
  index: number,
): NoiseCoefficients {
  checkIndex(index, timesteps.length, 'index');
  return { sample: 1, noise: sigmas[index] };
}

/** An Euler step from `sigma` down to `target`, and noise of deviation `noise` added there. */
export function eulerStep(
  type: PredictionType,
  timestep: number,
  sigma: number,
  target: number,
  noise: number,
): Omit<StepCoefficients, 'usesNoise'> {
  // x / sqrt(sigma^2 + 1) = alpha * clean + (alpha * sigma) * noise has variance 1, as in training.
  const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
  const { x0 } = predictionForms(type, alpha, alpha * sigma);
  return {
    timestep,
    input: [alpha],
    x0: { state: [x0.sample * alpha], output: x0.output, clip: Infinity },
    // x + (x - x0) / sigma * (target - sigma)
    next: { state: [[target / sigma]], output: [0], x0: [1 - target / sigma], noise: [noise] },
  };
}
