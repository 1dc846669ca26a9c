/**
 * @file DDPM: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020), as diffusers' `DDPMScheduler`.
 */
import * as v from 'valibot';
import { flag, supported } from '../loaders/config.ts';
import { AlphaScheduler, checkFirstTimestep } from './alpha-scheduler.ts';
import type { Schedule } from './base-scheduler.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  above,
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  THRESHOLDING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { spacingSetting, timestepRequest, wholeTimesteps } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  // The learned ones need networks with two outputs, and diffusers' 'fixed_large_log' gives NaN. null is 'fixed_small'.
  variance_type: supported('fixed_small', 'fixed_small_log', 'fixed_large', null),
  clip_sample: flag(true),
  clip_sample_range: v.optional(above(0), 1),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  timestep_spacing: spacingSetting('leading'),
});

/** DDPM. Draws noise at every step but one at timestep 0. */
export class DDPMScheduler extends AlphaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'DDPMScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DDPMScheduler {
    return new DDPMScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps, or custom timesteps (cut down to whole numbers). */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): Schedule {
    const { num_train_timesteps: trainSteps } = this.config;
    const request = timestepRequest(numInferenceSteps, custom, trainSteps);
    const timesteps =
      request.kind === 'count'
        ? wholeTimesteps(request.count, this.config)
        : request.timesteps.map(Math.trunc);
    checkFirstTimestep(timesteps, trainSteps);
    return { timesteps };
  }

  /** Formulas (6) and (7) of the paper. */
  protected solve(begin: number): StepCoefficients[] {
    const { clip_sample, clip_sample_range, variance_type } = this.config;
    const clip = clip_sample ? clip_sample_range : Infinity;
    const {
      state: [x],
      output,
      x0,
      noise,
    } = this.basis();
    return this.timesteps.slice(begin).map((timestep, done) => {
      const alpha = this.alpha(timestep);
      const alphaNext = this.alpha(this.timesteps[begin + done + 1] ?? -1);
      // A difference of nearly equal numbers where steps are many: rounded as diffusers rounds it.
      const stepAlpha = Math.fround(alpha / alphaNext);
      const beta = 1 - stepAlpha;
      const smallVariance = Math.max(((1 - alphaNext) / (1 - alpha)) * beta, 1e-20);
      const deviation = Math.sqrt(variance_type === 'fixed_large' ? beta : smallVariance);
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: this.predictions(timestep, x, output, clip).x0,
        clip,
        next: [
          combine(
            [(Math.sqrt(alphaNext) * beta) / (1 - alpha), x0],
            [(Math.sqrt(stepAlpha) * (1 - alphaNext)) / (1 - alpha), x],
            [timestep > 0 ? deviation : 0, noise],
          ),
        ],
        usesNoise: timestep > 0,
      });
    });
  }
}
