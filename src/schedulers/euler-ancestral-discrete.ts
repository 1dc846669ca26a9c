/**
 * @file Ancestral sampling with Euler steps: each step goes a little too far down and adds the noise that is missing,
 * as diffusers' `EulerAncestralDiscreteScheduler` (after Crowson's k-diffusion, `sample_euler_ancestral`).
 */
import * as v from 'valibot';
import { supported } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  TRAINING_SETTINGS,
} from './settings.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { spacingSetting, stepCount } from './spacing.ts';
import { basis, combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  prediction_type: supported('epsilon', 'v_prediction'),
  timestep_spacing: spacingSetting('linspace'),
});

/** Euler steps with ancestral noise. Draws noise at every step, the last one included, where it counts for nothing. */
export class EulerAncestralDiscreteScheduler extends SigmaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'EulerAncestralDiscreteScheduler';
  readonly slots = 1;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): EulerAncestralDiscreteScheduler {
    return new EulerAncestralDiscreteScheduler(
      resolveSettings(this.className, SETTINGS, config, overrides, file),
    );
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, undefined, config.rescale_betas_zero_snr);
  }

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const count = stepCount(numInferenceSteps, custom, this.config.num_train_timesteps);
    const { timesteps, sigmas } = this.spaceSigmas(this.spacedTimesteps(count));
    return { timesteps, sigmas: [...sigmas, 0].map(Math.fround) };
  }

  protected solve(begin: number): StepCoefficients[] {
    const {
      state: [x],
      noise,
    } = basis(this.slots);
    return this.timesteps.slice(begin).map((timestep, done) => {
      const [sigma, target] = this.sigmas.slice(begin + done);
      // Noise of deviation `up` on top of latents at noise level `down` gives noise level `target`.
      const down = target ** 2 / sigma;
      const up = Math.sqrt(target ** 2 - down ** 2);
      return toCoefficients(this.slots, {
        timestep,
        ...this.predict(sigma),
        next: [combine([1, x], [down - sigma, this.derivative(sigma)], [up, noise])],
        usesNoise: true,
      });
    });
  }
}
