/**
 * @file DEIS: Zhang and Chen, "Fast sampling of diffusion models with exponential integrator" (2022), in its log-rho
 * multistep form, as diffusers' `DEISMultistepScheduler`.
 */
import * as v from 'valibot';
import { flag, oneOf, supported } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  FLOW_SETTINGS,
  OFFSET_SETTINGS,
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  THRESHOLDING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { signalAndNoise, SolverScheduler } from './solver-scheduler.ts';
import { spacingSetting, stepCount, wholeTimestepsAboveZero } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  ...FLOW_SETTINGS,
  solver_order: v.optional(oneOf(1, 2, 3), 2),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // Files of DPM-Solver and UniPC hold their own names in these two, which stand for the only ones here.
  algorithm_type: v.optional(
    v.pipe(
      oneOf('deis', 'dpmsolver', 'dpmsolver++'),
      v.transform(() => 'deis' as const),
    ),
    'deis',
  ),
  solver_type: v.optional(
    v.pipe(
      oneOf('logrho', 'midpoint', 'heun', 'bh1', 'bh2'),
      v.transform(() => 'logrho' as const),
    ),
    'logrho',
  ),
  lower_order_final: flag(true),
  timestep_spacing: spacingSetting('linspace'),
});

/**
 * DEIS multistep, orders 1 to 3; draws no noise. As in diffusers, sigmas end at the smallest one of training and, if
 * the settings space them, at the last one spaced, where the last step does nothing. Karras timesteps are rounded,
 * exponential and beta ones cut down to whole numbers.
 */
export class DEISMultistepScheduler extends SolverScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'DEISMultistepScheduler';
  /** The latents, and the predictions of noise of the steps before. */
  readonly slots: number;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DEISMultistepScheduler {
    return new DEISMultistepScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, false);
    this.slots = config.solver_order;
  }

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const count = stepCount(numInferenceSteps, custom, this.config.num_train_timesteps);
    if (this.spacing) return this.atSigmas(this.spacing, count, this.spacing === 'karras');
    return this.atTimesteps(wholeTimestepsAboveZero(count, this.config), this.trainingSigmas[0]);
  }

  protected solve(begin: number): StepCoefficients[] {
    const {
      state: [x, ...earlier],
    } = this.basis();
    return this.timesteps.slice(begin).map((timestep, done) => {
      const index = begin + done;
      const { x0, epsilon } = this.predict(index);
      const outputs = [epsilon, ...earlier];
      const [target, ...nodes] = this.sigmasBack(index, this.#order(index, done));
      const { alpha } = signalAndNoise(target);
      const weights = integrals(nodes, target);
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0,
        next: [
          combine(
            [alpha / signalAndNoise(nodes[0]).alpha, x],
            ...weights.map((weight, i) => [alpha * weight, outputs[i]] as const),
          ),
          ...outputs.slice(0, -1),
        ],
      });
    });
  }

  /** The order of a step: as many steps as were done before it, and low at the end of short schedules. */
  #order(index: number, done: number): number {
    const { solver_order, lower_order_final } = this.config;
    const left = this.timesteps.length - index;
    const most = lower_order_final && this.timesteps.length < 15 ? left : Infinity;
    return Math.min(solver_order, most, done + 1);
  }
}

/** Integrals from `rhos[0]` to `target`, over rho, of the Lagrange polynomials in log(rho) through `rhos`. */
function integrals(rhos: readonly number[], target: number): number[] {
  const logs = rhos.map(Math.log);
  return logs.map((log, i) => {
    const others = logs.filter((_, j) => j !== i);
    const denominator = others.reduce((product, other) => product * (log - other), 1);
    const antiderivative = (rho: number): number =>
      rho * ANTIDERIVATIVES[others.length](Math.log(rho), others);
    return (antiderivative(target) - antiderivative(rhos[0])) / denominator;
  });
}

/** Antiderivatives over rho of 1, L - c and (L - c) (L - d), divided by rho, where L = log(rho). */
const ANTIDERIVATIVES: readonly ((log: number, others: readonly number[]) => number)[] = [
  () => 1,
  (log, [c]) => log - 1 - c,
  (log, [c, d]) => log ** 2 - 2 * log + 2 - (c + d) * (log - 1) + c * d,
];
