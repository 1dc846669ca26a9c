/**
 * @file Strategic stochastic sampling: Zheng et al., "Trajectory consistency distillation" (2024), as diffusers'
 * `TCDScheduler`.
 */
import * as v from 'valibot';
import { flag, supported, whole } from '../loaders/config.ts';
import { AlphaScheduler, checkEta } from './alpha-scheduler.ts';
import type { Schedule } from './base-scheduler.ts';
import type { BetaSchedule } from './betas.ts';
import { consistencyTimesteps } from './consistency.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
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
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  // In diffusers too these have no effect.
  clip_sample: flag(false),
  clip_sample_range: v.optional(above(0), 1),
  set_alpha_to_one: flag(true),
  timestep_spacing: spacingSetting('leading'),
  timestep_scaling: v.optional(above(0), 10),
});

/**
 * TCD. `eta`, the paper's gamma, says how far below the next timestep a step goes before noise is added back; with an
 * eta above 0 noise is drawn at every step but the last. It is 0 unless given, as in diffusers' pipelines.
 */
export class TCDScheduler extends AlphaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'TCDScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): TCDScheduler {
    return new TCDScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps, at most `original_inference_steps`, or custom timesteps (cut down to whole numbers). */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): Schedule {
    return { timesteps: consistencyTimesteps(numInferenceSteps, custom, this.config) };
  }

  protected solve(begin: number, eta: number): StepCoefficients[] {
    checkEta(eta);
    const {
      state: [x],
      output,
      x0,
      noise,
    } = this.basis();
    const remaining = this.timesteps.slice(begin);
    return remaining.map((timestep, done) => {
      const isLast = done === remaining.length - 1;
      const next = remaining[done + 1] ?? 0;
      // The product is float32 in diffusers, which decides where it is cut.
      const below = Math.floor(Math.fround(Math.fround(1 - eta) * next));
      const alphaBelow = this.alpha(below);
      const predicted = this.predictions(timestep, x, output);
      const noised = combine([Math.sqrt(alphaBelow), x0], [Math.sqrt(1 - alphaBelow), predicted.epsilon]);
      const kept = eta > 0 && !isLast ? Math.fround(this.alpha(next) / alphaBelow) : 1;
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: predicted.x0,
        next: [combine([Math.sqrt(kept), noised], [Math.sqrt(1 - kept), noise])],
        usesNoise: eta > 0 && !isLast,
      });
    });
  }
}
