/**
 * @file Multistep consistency sampling: Luo et al., "Latent consistency models" (2023), as diffusers' `LCMScheduler`.
 */
import * as v from 'valibot';
import { flag, supported, whole } from '../loaders/config.ts';
import { AlphaScheduler } from './alpha-scheduler.ts';
import type { Schedule } from './base-scheduler.ts';
import type { BetaSchedule } from './betas.ts';
import { consistencyTimesteps } from './consistency.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, GridOptions, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  above,
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  STABLE_DIFFUSION_TRAINING_SETTINGS,
  THRESHOLDING_SETTINGS,
} from './settings.ts';
import { spacingSetting } from './spacing.ts';
import { combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...STABLE_DIFFUSION_TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  beta_schedule: supported<BetaSchedule>('scaled_linear', 'linear', 'squaredcos_cap_v2'),
  original_inference_steps: v.optional(whole(), 50),
  timestep_scaling: v.optional(above(0), 10),
  clip_sample: flag(false),
  clip_sample_range: v.optional(above(0), 1),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // In diffusers too these have no effect.
  set_alpha_to_one: flag(true),
  timestep_spacing: spacingSetting('leading'),
});

/** Standard deviation that the boundary condition takes clean latents to have. */
const SIGMA_DATA = 0.5;

/** LCM. Draws noise at every step but the last. */
export class LCMScheduler extends AlphaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'LCMScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): LCMScheduler {
    return new LCMScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps, at most `original_inference_steps`, or custom timesteps (cut down to whole numbers). */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): Schedule {
    return { timesteps: consistencyTimesteps(numInferenceSteps, custom, this.config) };
  }

  setGridTimesteps(
    numInferenceSteps: number | undefined,
    custom: CustomSchedule,
    { originalInferenceSteps, strength }: GridOptions,
  ): void {
    const { num_train_timesteps, original_inference_steps } = this.config;
    const grid = {
      num_train_timesteps,
      original_inference_steps: originalInferenceSteps ?? original_inference_steps,
    };
    const timesteps = consistencyTimesteps(numInferenceSteps, custom, grid, strength);
    this.setTimesteps(undefined, { timesteps });
  }

  protected solve(begin: number): StepCoefficients[] {
    const { clip_sample, clip_sample_range, timestep_scaling } = this.config;
    const clip = clip_sample ? clip_sample_range : Infinity;
    const {
      state: [x],
      output,
      x0,
      noise,
    } = this.basis();
    const remaining = this.timesteps.slice(begin);
    return remaining.map((timestep, done) => {
      const time = (timestep * timestep_scaling) / SIGMA_DATA;
      const denoised = combine([time / Math.hypot(time, 1), x0], [1 / (time ** 2 + 1), x]);
      const isLast = done === remaining.length - 1;
      const alphaNext = isLast ? 1 : this.alpha(remaining[done + 1]);
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: this.predictions(timestep, x, output, clip).x0,
        clip,
        next: [combine([Math.sqrt(alphaNext), denoised], [Math.sqrt(1 - alphaNext), noise])],
        usesNoise: !isLast,
      });
    });
  }
}
