/**
 * @file Ancestral sampling with DPM-Solver-2 steps, as diffusers' `KDPM2AncestralDiscreteScheduler` (Crowson's
 * k-diffusion, `sample_dpm_2_ancestral`).
 */
import * as v from 'valibot';
import type { SchedulerConfig } from './scheduler.ts';
import { type Overrides, type Resolved, resolveSettings } from './settings.ts';
import { geometricMean, type Stage, TWO_CALL_SETTINGS, TwoCallScheduler } from './two-call-scheduler.ts';

const f32 = Math.fround;

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

  /**
   * Noise of deviation `up` on top of latents at noise level `down` gives noise level `next`. `down` is next^2 / sigma, but
   * as a difference of float32 squares, whose rounding shows in the timesteps of second calls; where nothing is left of the
   * difference, diffusers has NaN.
   */
  protected stage(sigma: number, next: number): Stage {
    const [before, after] = [f32(sigma ** 2), f32(next ** 2)];
    const up = f32(Math.sqrt(f32(f32(after * f32(before - after)) / before)));
    const rest = f32(after - f32(up ** 2));
    const down = rest > 0 ? f32(Math.sqrt(rest)) : after / sigma;
    return { sigma, middle: geometricMean(sigma, down), target: down, noise: up };
  }
}
