/**
 * @file Euler's method on the probability flow: Karras et al., "Elucidating the design space of diffusion-based
 * generative models" (2022), algorithm 2 without churn, as diffusers' `EulerDiscreteScheduler`.
 */
import * as v from 'valibot';
import { oneOf, supported } from '../loaders/config.ts';
import { linspaceF32 } from './arrays.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import { logF32 } from './log-f32.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  FINAL_SIGMA_SETTINGS,
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  SIGMA_BOUND_SETTINGS,
  SIGMA_SPACING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { sigmasAt, toTimesteps } from './sigmas.ts';
import { scheduleRequest, type SigmaRequest, spacingSetting, type TimestepRequest } from './spacing.ts';
import { basis, combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  ...SIGMA_BOUND_SETTINGS,
  ...FINAL_SIGMA_SETTINGS,
  // 'original_sample' is diffusers' older name for 'sample'.
  prediction_type: v.optional(
    v.pipe(
      oneOf('epsilon', 'sample', 'v_prediction', 'original_sample'),
      v.transform((type): PredictionType => (type === 'original_sample' ? 'sample' : type)),
    ),
    'epsilon',
  ),
  interpolation_type: supported('linear', 'log_linear'),
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
export class EulerDiscreteScheduler extends SigmaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'EulerDiscreteScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): EulerDiscreteScheduler {
    return new EulerDiscreteScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps, custom timesteps, or custom sigmas. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const { num_train_timesteps, timestep_type, prediction_type } = this.config;
    const request = scheduleRequest(numInferenceSteps, custom, num_train_timesteps);
    const continuous = timestep_type === 'continuous' && prediction_type === 'v_prediction';
    if (request.kind === 'timesteps')
      this.refuseCustomTimesteps(this.spacing ?? (continuous ? 'continuous' : undefined));
    const { timesteps, sigmas } = this.#space(request);
    const rounded = sigmas.map(Math.fround);
    // EDM's noise conditioning (Karras et al., table 1).
    const conditioning = (sigma: number): number => 0.25 * Math.fround(Math.log(sigma));
    return {
      timesteps: (continuous ? rounded.slice(0, -1).map(conditioning) : timesteps).map(Math.fround),
      sigmas: rounded,
    };
  }

  protected solve(begin: number): StepCoefficients[] {
    const {
      state: [x],
    } = basis(this.slots);
    return this.timesteps.slice(begin).map((timestep, done) => {
      const [sigma, target] = this.sigmas.slice(begin + done);
      const next = combine([1, x], [target - sigma, this.derivative(sigma)]);
      return toCoefficients(this.slots, { timestep, ...this.predict(sigma), next: [next] });
    });
  }

  #space(request: TimestepRequest | SigmaRequest): SigmaSchedule {
    const training = this.trainingSigmas;
    if (request.kind === 'sigmas')
      return {
        timesteps: toTimesteps(Float32Array.from(request.sigmas.slice(0, -1)), training),
        sigmas: request.sigmas,
      };
    const spaced =
      request.kind === 'timesteps' ? request.timesteps.map(Math.fround) : this.spacedTimesteps(request.count);
    const { timesteps, sigmas } = this.spaceSigmas(spaced, this.#interpolate(spaced));
    const last = this.config.final_sigmas_type === 'sigma_min' ? training[0] : 0;
    return { timesteps, sigmas: [...sigmas, last] };
  }

  #interpolate(timesteps: readonly number[]): number[] {
    const training = this.trainingSigmas;
    if (this.config.interpolation_type === 'linear') return sigmasAt(timesteps, training);
    const [min, max] = [training[0], training[training.length - 1]].map(logF32);
    return Array.from(linspaceF32(max, min, timesteps.length + 1).map(Math.exp));
  }
}
