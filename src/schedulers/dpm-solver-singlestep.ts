/**
 * @file DPM-Solver and DPM-Solver++ in their singlestep form, as diffusers' `DPMSolverSinglestepScheduler`: groups of
 * steps of rising order that all start from the group's first latents. The formulas are in `dpm-solver-update.ts`.
 */
import * as v from 'valibot';
import { flag } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import {
  algorithmTypeSetting,
  checkFinalSigma,
  predictsClean,
  singlestepUpdate,
  SOLVER_SETTINGS,
} from './dpm-solver-update.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  FINAL_SIGMA_SETTINGS,
  FLOW_SETTINGS,
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  THRESHOLDING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { SolverScheduler } from './solver-scheduler.ts';
import { timestepRequest, wholeTimestepsAboveZero } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  ...FINAL_SIGMA_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  ...FLOW_SETTINGS,
  ...SOLVER_SETTINGS,
  algorithm_type: algorithmTypeSetting('dpmsolver++', 'dpmsolver', 'sde-dpmsolver++'),
  lower_order_final: flag(false),
});

/**
 * DPM-Solver singlestep, orders 1 to 3. The sde- algorithm draws noise at every step, the others never.
 *
 * As in diffusers, timesteps are always spaced as 'linspace' does, and the last step has order 1 where sigmas end at
 * zero. (diffusers then takes `lower_order_final` for true, and also for a number of steps that is no multiple of the
 * order, and keeps that for later schedules of the same object; here each schedule is on its own.)
 */
export class DPMSolverSinglestepScheduler extends SolverScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'DPMSolverSinglestepScheduler';
  /** The latents and, above order 1, those that the group began with and the converted outputs before. */
  readonly slots: number;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DPMSolverSinglestepScheduler {
    return new DPMSolverSinglestepScheduler(
      resolveSettings(this.className, SETTINGS, config, overrides, file),
    );
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, false);
    checkFinalSigma(config.algorithm_type, config.final_sigmas_type);
    this.slots = config.solver_order === 1 ? 1 : config.solver_order + 1;
  }

  /** Takes a number of steps, or custom timesteps (cut down to whole numbers). */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const { num_train_timesteps: trainSteps, final_sigmas_type, lambda_min_clipped } = this.config;
    const request = timestepRequest(numInferenceSteps, custom, trainSteps);
    const last = final_sigmas_type === 'sigma_min' ? this.trainingSigmas[0] : 0;
    if (request.kind === 'timesteps') return this.atTimesteps(request.timesteps.map(Math.trunc), last);
    if (this.spacing) return this.atSigmas(this.spacing, request.count, this.spacing === 'karras', last);
    const linspace = {
      num_train_timesteps: trainSteps,
      timestep_spacing: 'linspace',
      steps_offset: 0,
    } as const;
    const clipped = this.clippedTimesteps(lambda_min_clipped);
    return this.atTimesteps(wholeTimestepsAboveZero(request.count, linspace, clipped), last);
  }

  protected solve(begin: number): StepCoefficients[] {
    const { algorithm_type, solver_type, solver_order } = this.config;
    const {
      state: [x, beginning, ...earlier],
      x0,
      noise,
    } = this.basis();
    const orders = this.#orders();
    return this.timesteps.slice(begin).map((timestep, done) => {
      const index = begin + done;
      const order = Math.min(orders[index], done + 1);
      const predicted = this.predict(index);
      const kept = predictsClean(algorithm_type) ? x0 : predicted.epsilon;
      const from = order === 1 ? x : beginning;
      const update = singlestepUpdate(algorithm_type, solver_type, this.sigmasBack(index, order));
      const outputs = [kept, ...earlier];
      const next = combine(
        [update.sample, from],
        ...update.predictions.map((weight, i) => [weight, outputs[i]] as const),
        [update.noise, noise],
      );
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: predicted.x0,
        next: solver_order === 1 ? [next] : [next, from, ...outputs.slice(0, solver_order - 1)],
        usesNoise: algorithm_type === 'sde-dpmsolver++',
      });
    });
  }

  /** The order of each step: 1, 2, .. up to the solver's in turn, and low where the end would be unstable. */
  #orders(): number[] {
    const { solver_order, lower_order_final, final_sigmas_type } = this.config;
    const count = this.timesteps.length;
    const lowersLast = final_sigmas_type === 'zero' || (lower_order_final && count % solver_order === 0);
    return Array.from({ length: count }, (_, i) =>
      lowersLast && i === count - 1 ? 1 : (i % solver_order) + 1,
    );
  }
}
