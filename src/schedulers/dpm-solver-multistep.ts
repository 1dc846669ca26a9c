/**
 * @file DPM-Solver and DPM-Solver++ in their multistep form, as diffusers' `DPMSolverMultistepScheduler`. The
 * formulas are in `dpm-solver-update.ts`; here are the settings, the schedule, and which order each step has.
 */
import * as v from 'valibot';
import { ConfigError } from '../errors.ts';
import { flag } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import {
  algorithmTypeSetting,
  checkFinalSigma,
  multistepUpdate,
  predictsClean,
  SOLVER_SETTINGS,
} from './dpm-solver-update.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  FINAL_SIGMA_SETTINGS,
  FLOW_SETTINGS,
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  THRESHOLDING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { SolverScheduler } from './solver-scheduler.ts';
import { spacingSetting, timestepRequest, wholeTimestepsAboveZero } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  ...FINAL_SIGMA_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  ...FLOW_SETTINGS,
  ...SOLVER_SETTINGS,
  algorithm_type: algorithmTypeSetting('dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver'),
  lower_order_final: flag(true),
  euler_at_final: flag(false),
  use_lu_lambdas: flag(false),
  timestep_spacing: spacingSetting('linspace'),
});

/**
 * DPM-Solver multistep, orders 1 to 3. The sde- algorithms draw noise at every step, the others never.
 *
 * Sigma spacings other than Karras and Lu give timesteps cut down to whole numbers, those two round them (except with
 * squaredcos_cap_v2 betas, where they are cut down too), as in diffusers. Where that makes the first two timesteps
 * equal, diffusers begins at the second and then runs past the end of its schedule; this begins at the first.
 * `sigma_min` and `sigma_max` are not settings of this class but are obeyed in a configuration made for Euler's.
 */
export class DPMSolverMultistepScheduler extends SolverScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'DPMSolverMultistepScheduler';
  /** The latents, and the converted outputs of the steps before. */
  readonly slots: number;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DPMSolverMultistepScheduler {
    return new DPMSolverMultistepScheduler(
      resolveSettings(this.className, SETTINGS, config, overrides, file),
    );
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    const { algorithm_type: algorithm, final_sigmas_type, solver_order } = config;
    super(config, config.rescale_betas_zero_snr, config.use_lu_lambdas);
    checkFinalSigma(algorithm, final_sigmas_type);
    if (algorithm === 'sde-dpmsolver' && solver_order === 3)
      throw new ConfigError('algorithm_type sde-dpmsolver has no third order', {
        field: 'solver_order',
        remedy: 'Set solver_order to 1 or 2, or take sde-dpmsolver++',
      });
    this.slots = solver_order;
  }

  /** Takes a number of steps, or custom timesteps (cut down to whole numbers). */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const { num_train_timesteps, final_sigmas_type, lambda_min_clipped, beta_schedule } = this.config;
    const request = timestepRequest(numInferenceSteps, custom, num_train_timesteps);
    const last = final_sigmas_type === 'sigma_min' ? this.trainingSigmas[0] : 0;
    if (request.kind === 'timesteps') return this.atTimesteps(request.timesteps.map(Math.trunc), last);
    if (this.spacing) {
      const rounds = this.spacing === 'karras' || this.spacing === 'lu';
      return this.atSigmas(
        this.spacing,
        request.count,
        rounds && beta_schedule !== 'squaredcos_cap_v2',
        last,
      );
    }
    const clipped = this.clippedTimesteps(lambda_min_clipped);
    return this.atTimesteps(wholeTimestepsAboveZero(request.count, this.config, clipped), last);
  }

  protected solve(begin: number): StepCoefficients[] {
    const { algorithm_type, solver_type, solver_order } = this.config;
    const {
      state: [x, ...earlier],
      x0,
      noise,
    } = this.basis();
    return this.timesteps.slice(begin).map((timestep, done) => {
      const index = begin + done;
      const predicted = this.predict(index);
      // Slots of history hold what the algorithm integrates: predictions of clean latents, or of the noise.
      const outputs = [predictsClean(algorithm_type) ? x0 : predicted.epsilon, ...earlier];
      const order = this.#order(index, done);
      const update = multistepUpdate(algorithm_type, solver_type, this.sigmasBack(index, order));
      const next = combine(
        [update.sample, x],
        ...update.predictions.map((weight, i) => [weight, outputs[i]] as const),
        [update.noise, noise],
      );
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: predicted.x0,
        next: [next, ...outputs.slice(0, solver_order - 1)],
        usesNoise: algorithm_type === 'sde-dpmsolver++' || algorithm_type === 'sde-dpmsolver',
      });
    });
  }

  /** The order of a step: as many steps as were done before it, and low where the end would be unstable. */
  #order(index: number, done: number): number {
    const { solver_order, lower_order_final, euler_at_final, final_sigmas_type } = this.config;
    const count = this.timesteps.length;
    const lowers = lower_order_final && count < 15;
    if (index === count - 1 && (euler_at_final || lowers || final_sigmas_type === 'zero')) return 1;
    const most = index === count - 2 && lowers ? 2 : 3;
    return Math.min(solver_order, most, done + 1);
  }
}
