/**
 * @file Heun's method: Karras et al., "Elucidating the design space of diffusion-based generative models" (2022),
 * algorithm 2 without churn, as diffusers' `HeunDiscreteScheduler`.
 */
import * as v from 'valibot';
import { flag, supported } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  above,
  OFFSET_SETTINGS,
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  STABLE_DIFFUSION_TRAINING_SETTINGS,
} from './settings.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { spacingSetting, timestepRequest } from './spacing.ts';
import { basis, combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...STABLE_DIFFUSION_TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  clip_sample: flag(false),
  clip_sample_range: v.optional(above(0), 1),
  timestep_spacing: spacingSetting('linspace'),
});

/**
 * Heun's method: two network calls a step, one for the last. It draws no noise; timesteps are fractional as those of
 * `EulerDiscreteScheduler`, and `timesteps` and `sigmas` list both calls.
 */
export class HeunDiscreteScheduler extends SigmaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'HeunDiscreteScheduler';
  override readonly order = 2;
  /** The latents (between two calls: the prediction), those that the step began with, and the derivative there. */
  readonly slots = 3;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): HeunDiscreteScheduler {
    return new HeunDiscreteScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config, false);
  }

  /** Takes a number of steps, or custom timesteps. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const request = timestepRequest(numInferenceSteps, custom, this.config.num_train_timesteps);
    if (request.kind === 'timesteps') this.refuseCustomTimesteps();
    const { timesteps, sigmas } = this.spaceSigmas(
      request.kind === 'count' ? this.spacedTimesteps(request.count) : request.timesteps.map(Math.fround),
    );
    const twiceButFirst = (values: readonly number[]): number[] =>
      values.flatMap((value, i) => (i === 0 ? [value] : [value, value])).map(Math.fround);
    return { timesteps: twiceButFirst(timesteps), sigmas: [...twiceButFirst(sigmas), 0] };
  }

  protected solve(begin: number): StepCoefficients[] {
    const { clip_sample, clip_sample_range } = this.config;
    const {
      state: [x, beginning, first],
    } = basis(this.slots);
    return this.timesteps.slice(begin).map((timestep, call) => {
      const index = begin + call;
      const isFirst = call % 2 === 0;
      const [sigma, target] = this.sigmas.slice(isFirst ? index : index - 1);
      const here = isFirst ? sigma : target;
      const derivative = this.derivative(here);
      return toCoefficients(this.slots, {
        timestep,
        ...this.predict(here),
        clip: clip_sample ? clip_sample_range : Infinity,
        // The second call's step is by the mean of both derivatives.
        next: isFirst
          ? [combine([1, x], [target - sigma, derivative]), x, derivative]
          : [
              combine(
                [1, beginning],
                ...[first, derivative].map((d) => [0.5 * (target - sigma), d] as const),
              ),
            ],
      });
    });
  }
}
