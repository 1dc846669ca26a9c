/**
 * @file One update of DPM-Solver, multistep or singlestep: Lu et al., "DPM-Solver" (2022) and "DPM-Solver++" (2022),
 * with the stochastic variants and the choice of formulas that diffusers has, and the settings that choose.
 */
import * as v from 'valibot';
import { ConfigError } from '../errors.ts';
import { oneOf, supported } from '../loaders/config.ts';
import type { PredictionType } from './prediction.ts';

/** What is integrated: predictions of the noise (dpmsolver) or of the clean latents (++), as an ODE or an SDE. */
export type AlgorithmType = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++';

/** The second-order formula. */
export type SolverType = 'midpoint' | 'heun';

/** Settings of both classes. */
export const SOLVER_SETTINGS = {
  solver_order: v.optional(oneOf(1, 2, 3), 2),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // Files of DEIS and UniPC hold their own names here, which stand for the default.
  solver_type: v.optional(
    v.pipe(
      oneOf('midpoint', 'heun', 'logrho', 'bh1', 'bh2'),
      v.transform((type): SolverType => (type === 'heun' ? 'heun' : 'midpoint')),
    ),
    'midpoint',
  ),
  lambda_min_clipped: v.optional(v.number(), -Infinity),
  // Files of DDPM hold these, which have no effect; the learned ones need networks with two outputs.
  variance_type: supported(null, 'fixed_small', 'fixed_small_log', 'fixed_large', 'fixed_large_log'),
};

/** The setting `algorithm_type` of a class that has these, the first being the default. */
export function algorithmTypeSetting<const Type extends AlgorithmType>(
  byDefault: Type,
  ...others: readonly Type[]
) {
  return v.optional(
    v.pipe(
      oneOf<Type | 'deis'>(byDefault, ...others, 'deis'),
      // Files of DEIS hold its own name here, which stands for the default.
      v.transform((type): Type => (type === 'deis' ? byDefault : type)),
    ),
    byDefault,
  );
}

/** Whether an algorithm integrates predictions of clean latents, rather than of the noise. */
export function predictsClean(algorithm: AlgorithmType): boolean {
  return algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++';
}

/** Throws ConfigError for an algorithm that cannot go where sigmas end. */
export function checkFinalSigma(algorithm: AlgorithmType, finalSigmasType: 'zero' | 'sigma_min'): void {
  if (!predictsClean(algorithm) && finalSigmasType === 'zero')
    throw new ConfigError(`algorithm_type ${algorithm} cannot end at a sigma of zero`, {
      field: 'final_sigmas_type',
      remedy: 'Set final_sigmas_type to sigma_min, or take dpmsolver++ or sde-dpmsolver++',
    });
}

/**
 * next latents = sample * latents + sum_i predictions[i] * (the i-th latest prediction) + noise * normal noise, where
 * a multistep update takes the current latents and a singlestep update those that the group of steps began with.
 */
export interface SolverUpdate {
  readonly sample: number;
  /** As many as the order; the first is of this step's own prediction. */
  readonly predictions: readonly number[];
  readonly noise: number;
}

/** Weights of the latents, of D0, D1 and D2 (the predictions' divided differences), and of the noise. */
interface Expansion {
  readonly sample: number;
  readonly differences: readonly [number, number, number];
  readonly noise: number;
}

/**
 * @param sigmas ratios of noise to signal: of the target, of the current latents, and of the latents at earlier steps,
 *   latest first. Their number is the order plus one (2 to 4).
 */
export function multistepUpdate(
  algorithm: AlgorithmType,
  solver: SolverType,
  sigmas: readonly number[],
): SolverUpdate {
  // lambda = log(alpha / sigma); a target without noise is infinitely far, which the formulas below allow for.
  const [target, ...lambdas] = sigmas.map((sigma) => -Math.log(sigma));
  const h = target - lambdas[0];
  const order = lambdas.length;
  const { sample, differences, noise } = expand(algorithm, order === 2 && solver === 'midpoint', sigmas, h);
  const [d0, d1, d2] = differences;
  if (order === 1) return { sample, predictions: [d0], noise };
  const r0 = (lambdas[0] - lambdas[1]) / h;
  // D1 = (m0 - m1) / r0
  if (order === 2) return { sample, predictions: [d0 + d1 / r0, -d1 / r0], noise };
  // With a = (m0 - m1) / r0 and b = (m1 - m2) / r1: D1 = a + r0 / (r0 + r1) (a - b), D2 = (a - b) / (r0 + r1).
  const r1 = (lambdas[1] - lambdas[2]) / h;
  const ofDifference = (d1 * r0 + d2) / (r0 + r1);
  const a = (d1 + ofDifference) / r0;
  const b = -ofDifference / r1;
  return { sample, predictions: [d0 + a, b - a, -b], noise };
}

/**
 * @param sigmas as for `multistepUpdate`, where the earlier steps are those of the group, back to its first latents.
 */
export function singlestepUpdate(
  algorithm: AlgorithmType,
  solver: SolverType,
  sigmas: readonly number[],
): SolverUpdate {
  const [target, ...lambdas] = sigmas.map((sigma) => -Math.log(sigma));
  const order = lambdas.length;
  const midpoint = solver === 'midpoint';
  const first = lambdas[order - 1];
  const h = target - first;
  const { sample, differences, noise } = expand(
    algorithm,
    order === 2 && midpoint,
    [sigmas[0], sigmas[order]],
    h,
  );
  const [d0, d1, d2] = differences;
  if (order === 1) return { sample, predictions: [d0], noise };
  const r0 = (lambdas[0] - first) / h;
  // D0 = the group's first prediction, D1 = (m0 - D0) / r0
  if (order === 2 || midpoint) {
    const between = lambdas.slice(2).map(() => 0);
    return { sample, predictions: [d1 / r0, ...between, d0 - d1 / r0], noise };
  }
  // With a = (m1 - D0) / r1 and b = (m0 - D0) / r0: D1 = (r0 a - r1 b) / (r0 - r1), D2 = 2 (b - a) / (r0 - r1).
  const r1 = (lambdas[1] - first) / h;
  const a = (d1 * r0 - 2 * d2) / (r0 - r1) / r1;
  const b = (2 * d2 - d1 * r1) / (r0 - r1) / r0;
  return { sample, predictions: [b, a, d0 - a - b], noise };
}

function expand(
  algorithm: AlgorithmType,
  midpoint: boolean,
  [targetRatio, currentRatio]: readonly number[],
  h: number,
): Expansion {
  const alpha = 1 / Math.sqrt(targetRatio ** 2 + 1);
  const alphaRatio = Math.sqrt((currentRatio ** 2 + 1) / (targetRatio ** 2 + 1));
  const sigmaRatio = (targetRatio / currentRatio) * alphaRatio;
  return EXPANSIONS[algorithm]({ alpha, sigma: targetRatio * alpha, alphaRatio, sigmaRatio, h, midpoint });
}

interface StepSizes {
  /** Signal and noise of the target. */
  readonly alpha: number;
  readonly sigma: number;
  /** The target's share of the current signal and noise. */
  readonly alphaRatio: number;
  readonly sigmaRatio: number;
  /** Difference of lambdas. */
  readonly h: number;
  readonly midpoint: boolean;
}

const EXPANSIONS: Readonly<Record<AlgorithmType, (sizes: StepSizes) => Expansion>> = {
  'dpmsolver++': ({ alpha, sigmaRatio, h, midpoint }) => {
    const e = Math.expm1(-h);
    const d1 = midpoint ? -0.5 * alpha * e : alpha * (e / h + 1);
    return { sample: sigmaRatio, differences: [-alpha * e, d1, -alpha * ((e + h) / h ** 2 - 0.5)], noise: 0 };
  },
  dpmsolver: ({ sigma, alphaRatio, h, midpoint }) => {
    const e = Math.expm1(h);
    const d1 = midpoint ? -0.5 * sigma * e : -sigma * (e / h - 1);
    return { sample: alphaRatio, differences: [-sigma * e, d1, -sigma * ((e - h) / h ** 2 - 0.5)], noise: 0 };
  },
  'sde-dpmsolver++': ({ alpha, sigma, sigmaRatio, h, midpoint }) => {
    const e = -Math.expm1(-2 * h);
    const d1 = midpoint ? 0.5 * alpha * e : alpha * (1 - e / (2 * h));
    return {
      sample: sigmaRatio * Math.exp(-h),
      differences: [alpha * e, d1, alpha * ((e - 2 * h) / (2 * h) ** 2 - 0.5)],
      noise: sigma * Math.sqrt(e),
    };
  },
  // It has no third order, which the scheduler refuses.
  'sde-dpmsolver': ({ sigma, alphaRatio, h, midpoint }) => {
    const e = Math.expm1(h);
    const d1 = midpoint ? -sigma * e : -2 * sigma * (e / h - 1);
    return {
      sample: alphaRatio,
      differences: [-2 * sigma * e, d1, Number.NaN],
      noise: sigma * Math.sqrt(Math.expm1(2 * h)),
    };
  },
};
