/**
 * @file Linear multistep sampling: Adams-Bashforth steps over sigma, as diffusers' `LMSDiscreteScheduler` (after
 * Crowson's k-diffusion, `sample_lms`).
 */
import * as v from 'valibot';
import { supported } from '../loaders/config.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  OFFSET_SETTINGS,
  type Overrides,
  type Resolved,
  resolveSettings,
  SIGMA_SPACING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { sigmaBounds } from './sigmas.ts';
import { spacingSetting, stepCount } from './spacing.ts';
import { basis, combine, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  timestep_spacing: spacingSetting('linspace'),
});

/** Derivatives that a step uses at most, the newest included. */
const ORDER = 4;

/** LMS of order 4. It draws no noise; timesteps are fractional as those of `EulerDiscreteScheduler`. */
export class LMSDiscreteScheduler extends SigmaScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'LMSDiscreteScheduler';
  /** The latents, and the derivatives of earlier steps, latest first. */
  readonly slots = ORDER;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): LMSDiscreteScheduler {
    return new LMSDiscreteScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config, false);
  }

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const count = stepCount(numInferenceSteps, custom, this.config.num_train_timesteps);
    // This class's Karras spacing is the only one in diffusers that ignores another class's bounds.
    const bounds = this.spacing === 'karras' ? {} : sigmaBounds(this.config);
    const { timesteps, sigmas } = this.spaceSigmas(this.spacedTimesteps(count), undefined, bounds);
    return { timesteps: timesteps.map(Math.fround), sigmas: [...sigmas, 0].map(Math.fround) };
  }

  protected solve(begin: number): StepCoefficients[] {
    const {
      state: [x, ...earlier],
    } = basis(this.slots);
    return this.timesteps.slice(begin).map((timestep, done) => {
      const index = begin + done;
      const derivatives = [this.derivative(this.sigmas[index]), ...earlier];
      // A run that begins late has fewer derivatives than weights at first; as in diffusers the others are left out.
      const weights = multistepWeights(this.sigmas, index, Math.min(index + 1, ORDER)).slice(0, done + 1);
      return toCoefficients(this.slots, {
        timestep,
        ...this.predict(this.sigmas[index]),
        next: [
          combine([1, x], ...weights.map((weight, i) => [weight, derivatives[i]] as const)),
          ...derivatives.slice(0, -1),
        ],
      });
    });
  }
}

/**
 * What the derivatives at `sigmas[index]`, `sigmas[index - 1]`, ... count in a step to the next sigma: integrals of the
 * Lagrange polynomials through them.
 */
function multistepWeights(sigmas: readonly number[], index: number, order: number): number[] {
  const nodes = Array.from({ length: order }, (_, back) => sigmas[index - back]);
  const [from, to] = [sigmas[index], sigmas[index + 1]];
  return nodes.map((node, i) => {
    const others = nodes.filter((_, j) => j !== i);
    const lagrange = (sigma: number): number =>
      others.reduce((product, other) => (product * (sigma - other)) / (node - other), 1);
    // Simpson's rule is exact for polynomials up to the third degree.
    return ((to - from) / 6) * (lagrange(from) + 4 * lagrange((from + to) / 2) + lagrange(to));
  });
}
