/**
 * @file Noise levels: the ways of spacing sigmas that are not taken from timesteps, and back from sigma to timestep.
 */
import { ConfigError } from '../errors.ts';
import { interpolate, linspace } from './arrays.ts';
import { betaQuantile } from './beta-quantile.ts';
import { logF32 } from './log-f32.ts';

/** Ways to space sigmas: those of the `use_*_sigmas` settings, and of `use_lu_lambdas`. */
export type SigmaSpacing = 'karras' | 'exponential' | 'beta' | 'lu';

/**
 * `count` sigmas from `max` down to `min`, both included.
 *
 * @throws ConfigError when `min` is above `max`.
 */
export function spaceSigmas(spacing: SigmaSpacing, min: number, max: number, count: number): number[] {
  if (min > max)
    throw new ConfigError(`the smallest sigma, ${min}, is above the largest, ${max}`, {
      field: 'sigma_min',
      remedy: 'Correct sigma_min and sigma_max, or leave them out',
    });
  return SPACINGS[spacing](min, max, count);
}

type Spacing = (min: number, max: number, count: number) => number[];

/** Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), equation 5, rho = 7. */
const karrasSigmas: Spacing = (min, max, count) => {
  const rho = 7;
  const [low, high] = [min ** (1 / rho), max ** (1 / rho)];
  return linspace(0, 1, count).map((ramp) => (high + ramp * (low - high)) ** rho);
};

/** Evenly spaced logarithms. */
const exponentialSigmas: Spacing = (min, max, count) =>
  linspace(Math.log(max), Math.log(min), count).map(Math.exp);

/** Lee et al., "Beta sampling is all you need" (2024): more steps at both ends, by quantiles of Beta(0.6, 0.6). */
const betaSigmas: Spacing = (min, max, count) =>
  linspace(0, 1, count).map((ramp) => min + betaQuantile(1 - ramp, 0.6) * (max - min));

/** Lu et al., "DPM-Solver" (2022): evenly spaced log signal-to-noise ratios; diffusers has the ends in float32. */
const luSigmas: Spacing = (min, max, count) => {
  const [low, high] = [logF32(min), logF32(max)];
  return linspace(0, 1, count).map((ramp) => Math.exp(high + ramp * (low - high)));
};

const SPACINGS: Readonly<Record<SigmaSpacing, Spacing>> = {
  karras: karrasSigmas,
  exponential: exponentialSigmas,
  beta: betaSigmas,
  lu: luSigmas,
};

/** The bounds `sigma_min` and `sigma_max` of a configuration, which diffusers obeys in classes without them too. */
export function sigmaBounds(config: Readonly<Record<string, unknown>>): { min?: number; max?: number } {
  const { sigma_min: min, sigma_max: max } = config;
  return { ...(typeof min === 'number' && { min }), ...(typeof max === 'number' && { max }) };
}

/** Training sigmas at timesteps, fractional ones too. */
export function sigmasAt(timesteps: readonly number[], trainingSigmas: Float32Array): number[] {
  return timesteps.map((timestep) => interpolate(trainingSigmas, timestep));
}

/**
 * The timesteps, fractional, at which training had these sigmas: linear between the logarithms of the training sigmas
 * (ascending), and the first or last timestep beyond them. Sigmas that diffusers has in float64 are a list, those that it has in float32 a Float32Array, and their logarithms then too.
 */
export function toTimesteps(
  sigmas: readonly number[] | Float32Array,
  trainingSigmas: Float32Array,
): number[] {
  const logSigmas = trainingSigmas.map(logF32);
  const [log, round] = sigmas instanceof Float32Array ? [logF32, Math.fround] : [Math.log, Number];
  return Array.from(sigmas, (sigma) => {
    const logSigma = log(Math.max(sigma, 1e-10));
    const above = logSigmas.findIndex((entry) => entry > logSigma);
    const next = above < 0 ? logSigmas.length - 1 : Math.max(above, 1);
    const low = next - 1;
    const weight = round(round(logSigmas[low] - logSigma) / Math.fround(logSigmas[low] - logSigmas[next]));
    const clipped = Math.min(Math.max(weight, 0), 1);
    return (1 - clipped) * low + clipped * next;
  });
}
