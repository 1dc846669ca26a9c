/**
 * @file Ancestral sampling with Euler steps: each step goes a little too far down and adds the noise that is missing,
 * as diffusers' `EulerAncestralDiscreteScheduler` (after Crowson's k-diffusion, `sample_euler_ancestral`).
 */
import * as v from 'valibot';
import { supported } from '../loaders/config.ts';
import { alphasCumprodForSigmas, trainingSigmas } from './betas.ts';
import {
  eulerInitNoiseSigma,
  eulerNoiseCoefficients,
  eulerStep,
  sigmasAt,
  type SigmaSchedule,
} from './euler.ts';
import { checkIndex, existing, finiteSteps } from './schedule.ts';
import type {
  CustomSchedule,
  NoiseCoefficients,
  Scheduler,
  SchedulerConfig,
  StepCoefficients,
  StepOptions,
} from './scheduler.ts';
import { type Overrides, type Resolved, resolveSettings, TRAINING_SETTINGS } from './settings.ts';
import { spaceTimesteps, spacingSetting, stepCount } from './spacing.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  prediction_type: supported('epsilon', 'v_prediction'),
  timestep_spacing: spacingSetting('linspace'),
});

/** Euler steps with ancestral noise. Draws noise at every step, the last one included, where it counts for nothing. */
export class EulerAncestralDiscreteScheduler implements Scheduler {
  static readonly className = 'EulerAncestralDiscreteScheduler';
  readonly config: Resolved<typeof SETTINGS.entries>;
  readonly slots = 1;
  readonly #trainingSigmas: Float32Array;
  #schedule: SigmaSchedule | undefined;

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
    this.config = config;
    this.#trainingSigmas = trainingSigmas(alphasCumprodForSigmas(config));
  }

  get timesteps(): readonly number[] {
    return existing(this.#schedule).timesteps;
  }

  /** Noise levels of the schedule, one more than it has timesteps; the last is 0. */
  get sigmas(): readonly number[] {
    return existing(this.#schedule).sigmas;
  }

  get initNoiseSigma(): number {
    return eulerInitNoiseSigma(this.sigmas, this.config.timestep_spacing);
  }

  /** Takes a number of steps only. */
  setTimesteps(numInferenceSteps: number | undefined, custom: CustomSchedule = {}): void {
    const {
      num_train_timesteps: trainSteps,
      timestep_spacing: spacing,
      steps_offset: stepsOffset,
    } = this.config;
    const count = stepCount(numInferenceSteps, custom, trainSteps);
    const options = { spacing, trainSteps, stepsOffset, skipLowest: false };
    const timesteps = spaceTimesteps(count, options).map(Math.fround);
    this.#schedule = {
      timesteps,
      sigmas: [...sigmasAt(timesteps, this.#trainingSigmas).map(Math.fround), 0],
    };
  }

  steps({ beginIndex = 0 }: StepOptions = {}): StepCoefficients[] {
    const { timesteps, sigmas } = existing(this.#schedule);
    checkIndex(beginIndex, timesteps.length, 'beginIndex');
    const steps = timesteps.map((timestep, i) => {
      const [from, to] = [sigmas[i], sigmas[i + 1]];
      // Noise of deviation `up` on top of latents at noise level `down` gives noise level `to`.
      const down = to ** 2 / from;
      const up = Math.sqrt(to ** 2 - down ** 2);
      return { ...eulerStep(this.config.prediction_type, timestep, from, down, up), usesNoise: true };
    });
    return finiteSteps(steps.slice(beginIndex), EulerAncestralDiscreteScheduler.className);
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    return eulerNoiseCoefficients(existing(this.#schedule), index);
  }
}
