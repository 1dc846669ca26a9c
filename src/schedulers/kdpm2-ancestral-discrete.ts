/**
 * @file Ancestral sampling with DPM-Solver-2 steps, as diffusers' `KDPM2AncestralDiscreteScheduler` (Crowson's
 * k-diffusion, `sample_dpm_2_ancestral`).
 */
import * as v from 'valibot';
import type { SchedulerConfig } from './scheduler.ts';
import { type Overrides, type Resolved, resolveSettings } from './settings.ts';
import { geometricMean, type Stage, TWO_CALL_SETTINGS, TwoCallScheduler } from './two-call-scheduler.ts';

const SETTINGS = v.object(TWO_CALL_SETTINGS);

/** KDPM2 with ancestral noise, drawn after the second call of each step and so not in the last, which has one. */
export class KDPM2AncestralDiscreteScheduler extends TwoCallScheduler {
  static readonly className = 'KDPM2AncestralDiscreteScheduler';
  protected readonly draws = true;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): KDPM2AncestralDiscreteScheduler {
    return new KDPM2AncestralDiscreteScheduler(
      resolveSettings(this.className, SETTINGS, config, overrides, file),
    );
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config, false);
  }

  /** Noise of deviation `up` on top of latents at noise level `down` gives noise level `next`. */
  protected stage(sigma: number, next: number): Stage {
    const down = next ** 2 / sigma;
    const up = Math.sqrt(next ** 2 - down ** 2);
    return { sigma, middle: geometricMean(sigma, down), target: down, noise: up };
  }
}
