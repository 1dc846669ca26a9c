/**
 * @file Euler's method on the probability flow: Karras et al., "Elucidating the design space of diffusion-based
 * generative models" (2022), algorithm 2 without churn, as diffusers' `EulerDiscreteScheduler`.
 */
import * as v from 'valibot';
import { OptionError } from '../errors.ts';
import { oneOf, supported } from '../loaders/config.ts';
import { linspaceF32 } from './arrays.ts';
import { alphasCumprodForSigmas, trainingSigmas } from './betas.ts';
import {
  eulerInitNoiseSigma,
  eulerNoiseCoefficients,
  eulerStep,
  sigmasAt,
  type SigmaSchedule,
} from './euler.ts';
import type { PredictionType } from './prediction.ts';
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
  above,
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  sigmaSpacingOf,
  TRAINING_SETTINGS,
} from './settings.ts';
import { type SigmaSpacing, sigmaToTimestep, spaceSigmas } from './sigmas.ts';
import {
  scheduleRequest,
  type SigmaRequest,
  spaceTimesteps,
  spacingSetting,
  type TimestepRequest,
} from './spacing.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  // 'original_sample' is diffusers' older name for 'sample'.
  prediction_type: v.optional(
    v.pipe(
      oneOf('epsilon', 'sample', 'v_prediction', 'original_sample'),
      v.transform((type): PredictionType => (type === 'original_sample' ? 'sample' : type)),
    ),
    'epsilon',
  ),
  interpolation_type: supported('linear', 'log_linear'),
  sigma_min: v.nullish(above(0), null),
  sigma_max: v.nullish(above(0), null),
  timestep_spacing: spacingSetting('linspace'),
  timestep_type: supported('discrete', 'continuous'),
});

/**
 * Euler's method. It draws no noise (diffusers' churn options are not offered, as its pipelines never pass them).
 *
 * Timesteps are fractional with linspace spacing and with Karras, exponential, beta or custom sigmas. As in
 * diffusers, `interpolation_type` 'log_linear' spaces one sigma more than there are steps, so the last step ends at
 * the smallest training sigma and `final_sigmas_type` has no effect.
 */
export class EulerDiscreteScheduler implements Scheduler {
  static readonly className = 'EulerDiscreteScheduler';
  readonly config: Resolved<typeof SETTINGS.entries>;
  readonly slots = 1;
  readonly #trainingSigmas: Float32Array;
  readonly #sigmaSpacing: SigmaSpacing | undefined;
  #schedule: SigmaSchedule | undefined;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): EulerDiscreteScheduler {
    return new EulerDiscreteScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    this.config = config;
    this.#sigmaSpacing = sigmaSpacingOf(config);
    this.#trainingSigmas = trainingSigmas(alphasCumprodForSigmas(config));
  }

  get timesteps(): readonly number[] {
    return existing(this.#schedule).timesteps;
  }

  /** Noise levels of the schedule, one more than it has timesteps. */
  get sigmas(): readonly number[] {
    return existing(this.#schedule).sigmas;
  }

  get initNoiseSigma(): number {
    return eulerInitNoiseSigma(this.sigmas, this.config.timestep_spacing);
  }

  /** Takes a number of steps, custom timesteps, or custom sigmas. */
  setTimesteps(numInferenceSteps: number | undefined, custom: CustomSchedule = {}): void {
    const { num_train_timesteps, timestep_type, prediction_type } = this.config;
    const request = scheduleRequest(numInferenceSteps, custom, num_train_timesteps);
    const continuous = timestep_type === 'continuous' && prediction_type === 'v_prediction';
    if (request.kind === 'timesteps' && (this.#sigmaSpacing !== undefined || continuous))
      throw new OptionError('the settings already say how sigmas are spaced', {
        field: 'timesteps',
        remedy: `Leave timesteps out, or make the scheduler without ${this.#sigmaSpacing ?? 'continuous'} spacing`,
      });
    const { timesteps, sigmas } = this.#space(request);
    const rounded = [...Float32Array.from(sigmas)];
    this.#schedule = {
      // EDM's noise conditioning (Karras et al., table 1).
      timesteps: continuous
        ? [...Float32Array.from(rounded.slice(0, -1), (sigma) => 0.25 * Math.fround(Math.log(sigma)))]
        : [...Float32Array.from(timesteps)],
      sigmas: rounded,
    };
  }

  steps({ beginIndex = 0 }: StepOptions = {}): StepCoefficients[] {
    const { timesteps, sigmas } = existing(this.#schedule);
    checkIndex(beginIndex, timesteps.length, 'beginIndex');
    const steps = timesteps.map((timestep, i) => ({
      ...eulerStep(this.config.prediction_type, timestep, sigmas[i], sigmas[i + 1], 0),
      usesNoise: false,
    }));
    return finiteSteps(steps.slice(beginIndex), EulerDiscreteScheduler.className);
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    return eulerNoiseCoefficients(existing(this.#schedule), index);
  }

  #space(request: TimestepRequest | SigmaRequest): SigmaSchedule {
    const training = this.#trainingSigmas;
    const toTimesteps = (sigmas: readonly number[]): number[] => {
      const logSigmas = training.map(Math.log);
      return sigmas.map((sigma) => sigmaToTimestep(sigma, logSigmas));
    };
    if (request.kind === 'sigmas')
      return { timesteps: toTimesteps(request.sigmas.slice(0, -1).map(Math.fround)), sigmas: request.sigmas };

    const timesteps = this.#spacedTimesteps(request);
    const sigmas = this.#interpolate(timesteps);
    const last = this.config.final_sigmas_type === 'sigma_min' ? training[0] : 0;
    if (this.#sigmaSpacing === undefined) return { timesteps, sigmas: [...sigmas, last] };

    const min = this.config.sigma_min ?? sigmas[sigmas.length - 1];
    const max = this.config.sigma_max ?? sigmas[0];
    const spaced = spaceSigmas(this.#sigmaSpacing, min, max, timesteps.length);
    return { timesteps: toTimesteps(spaced), sigmas: [...spaced, last] };
  }

  #spacedTimesteps(request: TimestepRequest): number[] {
    const {
      num_train_timesteps: trainSteps,
      timestep_spacing: spacing,
      steps_offset: stepsOffset,
    } = this.config;
    const timesteps =
      request.kind === 'timesteps'
        ? request.timesteps
        : spaceTimesteps(request.count, { spacing, trainSteps, stepsOffset, skipLowest: false });
    return timesteps.map(Math.fround);
  }

  #interpolate(timesteps: readonly number[]): number[] {
    const training = this.#trainingSigmas;
    if (this.config.interpolation_type === 'linear') return sigmasAt(timesteps, training);
    const [min, max] = [training[0], training[training.length - 1]].map(Math.log);
    return Array.from(linspaceF32(max, min, timesteps.length + 1).map(Math.exp));
  }
}
