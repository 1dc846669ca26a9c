/**
 * @file DPM-Solver and DPM-Solver++ in their multistep form, as diffusers' `DPMSolverMultistepScheduler`. The
 * formulas are in `dpm-solver-update.ts`; here are the settings, the schedule, and which order each step has.
 */
import * as v from 'valibot';
import { ConfigError, OptionError } from '../errors.ts';
import { flag, oneOf, supported } from '../loaders/config.ts';
import { roundHalfEven } from './arrays.ts';
import { alphasCumprodForSigmas, trainingSigmas } from './betas.ts';
import { type AlgorithmType, multistepUpdate, type SolverType } from './dpm-solver-update.ts';
import { sigmasAt, type SigmaSchedule } from './euler.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import { checkIndex, existing, finiteSteps } from './schedule.ts';
import type {
  CustomSchedule,
  NoiseCoefficients,
  Scheduler,
  SchedulerConfig,
  StepCoefficients,
  StepOptions,
} from './scheduler.ts';
import {
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  sigmaSpacingOf,
  TRAINING_SETTINGS,
} from './settings.ts';
import { type SigmaSpacing, sigmaToTimestep, spaceSigmas } from './sigmas.ts';
import { refuseCustom, scheduleRequest, spaceTimesteps, spacingSetting } from './spacing.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  solver_order: v.optional(oneOf(1, 2, 3), 2),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // DEIS and UniPC files hold their own names here; diffusers reads them as its defaults.
  algorithm_type: v.optional(
    v.pipe(
      oneOf('dpmsolver++', 'dpmsolver', 'sde-dpmsolver++', 'sde-dpmsolver', 'deis'),
      v.transform((type): AlgorithmType => (type === 'deis' ? 'dpmsolver++' : type)),
    ),
    'dpmsolver++',
  ),
  solver_type: v.optional(
    v.pipe(
      oneOf('midpoint', 'heun', 'logrho', 'bh1', 'bh2'),
      v.transform((type): SolverType => (type === 'heun' ? 'heun' : 'midpoint')),
    ),
    'midpoint',
  ),
  lower_order_final: flag(true),
  euler_at_final: flag(false),
  use_lu_lambdas: flag(false),
  lambda_min_clipped: v.optional(v.number(), -Infinity),
  timestep_spacing: spacingSetting('linspace'),
  thresholding: supported(false),
  dynamic_thresholding_ratio: v.optional(v.number(), 0.995),
  sample_max_value: v.optional(v.number(), 1),
  variance_type: supported(null),
  use_flow_sigmas: supported(false),
  flow_shift: v.optional(v.number(), 1),
  use_dynamic_shifting: supported(false),
  time_shift_type: supported('exponential'),
});

/**
 * DPM-Solver multistep, orders 1 to 3. The sde- algorithms draw noise at every step, the others never.
 *
 * Sigma spacings other than Karras and Lu give timesteps cut down to whole numbers, those two round them (except with
 * squaredcos_cap_v2 betas, where they are cut down too), as in diffusers. Where that makes the first two timesteps
 * equal, diffusers begins at the second and then runs past the end of its schedule; this begins at the first.
 * `sigma_min` and `sigma_max` are not settings of this class but are obeyed in a configuration made for Euler's.
 */
export class DPMSolverMultistepScheduler implements Scheduler {
  readonly config: Resolved<typeof SETTINGS.entries>;
  /** The latents, and the converted outputs of the steps before. */
  readonly slots: number;
  readonly initNoiseSigma = 1;
  readonly #trainingSigmas: Float32Array;
  readonly #sigmaSpacing: SigmaSpacing | undefined;
  #schedule: SigmaSchedule | undefined;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DPMSolverMultistepScheduler {
    return new DPMSolverMultistepScheduler(
      resolveSettings('DPMSolverMultistepScheduler', SETTINGS, config, overrides, file),
    );
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    const { algorithm_type: algorithm, final_sigmas_type, solver_order } = config;
    if ((algorithm === 'dpmsolver' || algorithm === 'sde-dpmsolver') && final_sigmas_type === 'zero')
      throw new ConfigError(`algorithm_type ${algorithm} cannot end at a sigma of zero`, {
        field: 'final_sigmas_type',
        remedy: 'Set final_sigmas_type to sigma_min, or take dpmsolver++ or sde-dpmsolver++',
      });
    if (algorithm === 'sde-dpmsolver' && solver_order === 3)
      throw new ConfigError('algorithm_type sde-dpmsolver has no third order', {
        field: 'solver_order',
        remedy: 'Set solver_order to 1 or 2, or take sde-dpmsolver++',
      });
    this.config = config;
    this.slots = solver_order;
    const spacing = sigmaSpacingOf(config);
    this.#sigmaSpacing = config.use_lu_lambdas && spacing !== 'karras' ? 'lu' : spacing;
    this.#trainingSigmas = trainingSigmas(alphasCumprodForSigmas(config));
  }

  get timesteps(): readonly number[] {
    return existing(this.#schedule).timesteps;
  }

  /** Noise levels of the schedule, one more than it has timesteps. */
  get sigmas(): readonly number[] {
    return existing(this.#schedule).sigmas;
  }

  /** Takes a number of steps, or custom timesteps. */
  setTimesteps(numInferenceSteps: number | undefined, custom: CustomSchedule = {}): void {
    refuseCustom('sigmas', custom.sigmas);
    const request = scheduleRequest(numInferenceSteps, custom, this.config.num_train_timesteps);
    const training = this.#trainingSigmas;
    const last = this.config.final_sigmas_type === 'sigma_min' ? training[0] : 0;
    let timesteps: readonly number[];
    let sigmas: readonly number[];
    if (request.kind === 'count' && this.#sigmaSpacing !== undefined) {
      const { sigma_min, sigma_max } = this.config;
      const min = typeof sigma_min === 'number' ? sigma_min : training[0];
      const max = typeof sigma_max === 'number' ? sigma_max : training[training.length - 1];
      sigmas = spaceSigmas(this.#sigmaSpacing, min, max, request.count);
      timesteps = this.#timestepsOf(sigmas, this.#sigmaSpacing);
    } else {
      if (this.#sigmaSpacing !== undefined)
        throw new OptionError('the settings already say how sigmas are spaced', {
          field: 'timesteps',
          remedy: `Leave timesteps out, or make the scheduler without ${this.#sigmaSpacing} spacing`,
        });
      timesteps =
        request.kind === 'count' ? this.#spacedTimesteps(request.count) : this.#customTimesteps(custom);
      sigmas = sigmasAt(timesteps, training);
    }
    this.#schedule = { timesteps, sigmas: [...sigmas.map(Math.fround), last] };
  }

  steps({ beginIndex = 0 }: StepOptions = {}): StepCoefficients[] {
    const { timesteps } = existing(this.#schedule);
    checkIndex(beginIndex, timesteps.length, 'beginIndex');
    const steps = timesteps
      .slice(beginIndex)
      .map((timestep, i) => this.#step(timestep, beginIndex + i, this.#order(beginIndex + i, i)));
    return finiteSteps(steps, 'DPMSolverMultistepScheduler');
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    checkIndex(index, this.timesteps.length, 'index');
    const { alpha, sigma } = varianceParts(this.sigmas[index]);
    return { sample: alpha, noise: sigma };
  }
}
