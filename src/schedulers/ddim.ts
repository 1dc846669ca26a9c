/**
 * @file DDIM: Song, Meng and Ermon, "Denoising diffusion implicit models" (2020), as diffusers' `DDIMScheduler`.
 */
import * as v from 'valibot';
import { flag, supported } from '../loaders/config.ts';
import { AlphaScheduler, checkEta, checkFirstTimestep } from './alpha-scheduler.ts';
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
import { spacingSetting, stepCount, wholeTimesteps } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  clip_sample: flag(true),
  clip_sample_range: v.optional(above(0), 1),
  set_alpha_to_one: flag(true),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  timestep_spacing: spacingSetting('leading'),
});

/**
 * DDIM, with fresh noise where `eta` is above 0 (1 is DDPM). Draws noise at every step if `eta` > 0, else never.
 *
 * As in diffusers, a step goes down by floor(train steps / inference steps) whatever the spacing, so with 'trailing'
 * spacing and a count that does not divide, the last step may end at timestep 0 rather than at clean latents.
 */
export class DDIMScheduler extends AlphaScheduler<Resolved<typeof SETTINGS.entries>, DDIMSchedule> {
  static readonly className = 'DDIMScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DDIMScheduler {
    return new DDIMScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): DDIMSchedule {
    const { num_train_timesteps: trainSteps } = this.config;
    const count = stepCount(numInferenceSteps, custom, trainSteps);
    const timesteps = wholeTimesteps(count, this.config);
    checkFirstTimestep(timesteps, trainSteps);
    return { timesteps, stride: Math.floor(trainSteps / count) };
  }

  /** Formulas (12) and (16) of the paper; `alpha` is its alpha, the cumulative product. */
  protected solve(begin: number, eta: number): StepCoefficients[] {
    checkEta(eta);
    const { clip_sample, clip_sample_range, set_alpha_to_one } = this.config;
    const clip = clip_sample ? clip_sample_range : Infinity;
    const {
      state: [x],
      output,
      x0,
      noise,
    } = this.basis();
    const { timesteps, stride } = this.schedule;
    return timesteps.slice(begin).map((timestep) => {
      const alpha = this.alpha(timestep);
      const alphaNext = this.alpha(timestep - stride, this.finalAlpha(set_alpha_to_one));
      const predicted = this.predictions(timestep, x, output, clip);
      const deviation = eta * Math.sqrt(((1 - alphaNext) / (1 - alpha)) * (1 - alpha / alphaNext));
      const direction = Math.sqrt(Math.max(1 - alphaNext - deviation ** 2, 0));
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: predicted.x0,
        clip,
        next: [combine([Math.sqrt(alphaNext), x0], [direction, predicted.epsilon], [deviation, noise])],
        usesNoise: eta > 0,
      });
    });
  }
}

interface DDIMSchedule extends Schedule {
  /** Training timesteps that a step goes down. */
  readonly stride: number;
}
