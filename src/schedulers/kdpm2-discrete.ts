/** @file DPM-Solver-2 in sigmas, as diffusers' `KDPM2DiscreteScheduler` (Crowson's k-diffusion, `sample_dpm_2`). */
import * as v from 'valibot';
import type { SchedulerConfig } from './scheduler.ts';
import { type Overrides, type Resolved, resolveSettings } from './settings.ts';
import { geometricMean, type Stage, TWO_CALL_SETTINGS, TwoCallScheduler } from './two-call-scheduler.ts';

const SETTINGS = v.object(TWO_CALL_SETTINGS);

/** KDPM2: two network calls a step, one for the last; draws no noise. Timesteps of second calls are fractional. */
export class KDPM2DiscreteScheduler extends TwoCallScheduler {
  static readonly className = 'KDPM2DiscreteScheduler';
  protected readonly draws = false;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): KDPM2DiscreteScheduler {
    return new KDPM2DiscreteScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config, false);
  }

  protected stage(sigma: number, next: number): Stage {
    return { sigma, middle: geometricMean(sigma, next), target: next, noise: 0 };
  }
}
