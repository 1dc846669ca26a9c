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
import { spaceTimesteps, spacingSetting, timestepRequest } from './spacing.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  solver_order: v.optional(oneOf(1, 2, 3), 2),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // Files of DEIS and UniPC hold their own names here, which stand for this class's defaults.
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
  static readonly className = 'DPMSolverMultistepScheduler';
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
      resolveSettings(this.className, SETTINGS, config, overrides, file),
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

  /** Takes a number of steps, or custom timesteps (cut down to whole numbers). */
  setTimesteps(numInferenceSteps: number | undefined, custom: CustomSchedule = {}): void {
    const request = timestepRequest(numInferenceSteps, custom, this.config.num_train_timesteps);
    const { timesteps, sigmas } =
      request.kind === 'count' ? this.#space(request.count) : this.#custom(request.timesteps);
    const last = this.config.final_sigmas_type === 'sigma_min' ? this.#trainingSigmas[0] : 0;
    this.#schedule = { timesteps, sigmas: [...sigmas.map(Math.fround), last] };
  }

  steps({ beginIndex = 0 }: StepOptions = {}): StepCoefficients[] {
    const { timesteps } = existing(this.#schedule);
    checkIndex(beginIndex, timesteps.length, 'beginIndex');
    const steps = timesteps.slice(beginIndex).map((_, done) => this.#step(beginIndex + done, done));
    return finiteSteps(steps, DPMSolverMultistepScheduler.className);
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    checkIndex(index, this.timesteps.length, 'index');
    const { alpha, sigma } = signalAndNoise(this.sigmas[index]);
    return { sample: alpha, noise: sigma };
  }

  #custom(timesteps: readonly number[]): SigmaSchedule {
    if (this.#sigmaSpacing !== undefined)
      throw new OptionError('the settings already say how sigmas are spaced', {
        field: 'timesteps',
        remedy: `Leave timesteps out, or make the scheduler without ${this.#sigmaSpacing} spacing`,
      });
    const whole = timesteps.map(Math.trunc);
    return { timesteps: whole, sigmas: sigmasAt(whole, this.#trainingSigmas) };
  }

  #space(count: number): SigmaSchedule {
    const training = this.#trainingSigmas;
    const {
      num_train_timesteps: trainSteps,
      timestep_spacing: spacing,
      steps_offset: stepsOffset,
    } = this.config;
    if (this.#sigmaSpacing === undefined) {
      // The last training timesteps have too little signal where log(alpha / sigma) is under lambda_min_clipped.
      const clipped = training.filter((sigma) => -Math.log(sigma) < this.config.lambda_min_clipped).length;
      const options = { spacing, trainSteps, lastStep: trainSteps - clipped, stepsOffset, skipLowest: true };
      const timesteps = spaceTimesteps(count, options).map(roundHalfEven);
      return { timesteps, sigmas: sigmasAt(timesteps, training) };
    }
    const { sigma_min, sigma_max, beta_schedule } = this.config;
    const min = typeof sigma_min === 'number' ? sigma_min : training[0];
    const max = typeof sigma_max === 'number' ? sigma_max : training[training.length - 1];
    const sigmas = spaceSigmas(this.#sigmaSpacing, min, max, count);
    const rounds =
      (this.#sigmaSpacing === 'karras' || this.#sigmaSpacing === 'lu') &&
      beta_schedule !== 'squaredcos_cap_v2';
    const logSigmas = training.map(Math.log);
    const timesteps = sigmas
      .map((sigma) => sigmaToTimestep(sigma, logSigmas))
      .map(rounds ? roundHalfEven : Math.trunc);
    return { timesteps, sigmas };
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

  #step(index: number, done: number): StepCoefficients {
    const { prediction_type, algorithm_type, solver_type } = this.config;
    const { timesteps, sigmas } = existing(this.#schedule);
    const { alpha, sigma } = signalAndNoise(sigmas[index]);
    const forms = predictionForms(prediction_type, alpha, sigma);
    const predictsData = algorithm_type === 'dpmsolver++' || algorithm_type === 'sde-dpmsolver++';
    // Slots of history hold what the algorithm integrates: predictions of clean latents, or of the noise.
    const kept = predictsData ? { sample: 0, output: 0, x0: 1 } : { ...forms.noise, x0: 0 };
    const order = this.#order(index, done);
    const update = multistepUpdate(
      algorithm_type,
      solver_type,
      Array.from({ length: order + 1 }, (_, back) => sigmas[index + 1 - back]),
    );
    const history = Array.from({ length: this.slots - 1 }, (_, i) => i + 1);
    const [current = 0, ...earlier] = update.predictions;
    const pad = (values: readonly number[]): number[] =>
      [...values, ...history.map(() => 0)].slice(0, this.slots);
    return {
      timestep: timesteps[index],
      input: pad([1]),
      x0: { state: pad([forms.x0.sample]), output: forms.x0.output, clip: Infinity },
      next: {
        state: [
          pad([update.sample + current * kept.sample, ...earlier]),
          ...history.map((slot) =>
            pad(slot === 1 ? [kept.sample] : [0, ...history.map((s) => (s === slot - 1 ? 1 : 0))]),
          ),
        ],
        output: [current * kept.output, ...history.map((slot) => (slot === 1 ? kept.output : 0))],
        x0: [current * kept.x0, ...history.map((slot) => (slot === 1 ? kept.x0 : 0))],
        noise: pad([update.noise]),
      },
      usesNoise: algorithm_type === 'sde-dpmsolver++' || algorithm_type === 'sde-dpmsolver',
    };
  }
}

/** alpha and sigma of latents alpha * clean + sigma * noise of variance 1, from their ratio. */
function signalAndNoise(ratio: number): { alpha: number; sigma: number } {
  const alpha = 1 / Math.sqrt(ratio ** 2 + 1);
  return { alpha, sigma: ratio * alpha };
}
