/**
 * @file One multistep update of DPM-Solver: Lu et al., "DPM-Solver" (2022) and "DPM-Solver++" (2022), with the
 * stochastic variants and the choice of second-order formulas that diffusers has.
 */

/** What is integrated: predictions of the noise (dpmsolver) or of the clean latents (++), as an ODE or an SDE. */
export type AlgorithmType = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++';

/** The second-order formula. */
export type SolverType = 'midpoint' | 'heun';

/** next latents = sample * latents + sum_i predictions[i] * (the i-th latest prediction) + noise * normal noise */
export interface MultistepUpdate {
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
): MultistepUpdate {
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
