/**
 * @file DDIM: Song, Meng and Ermon, "Denoising diffusion implicit models" (2020), as diffusers' `DDIMScheduler`.
 */
import * as v from 'valibot';
import { OptionError } from '../errors.ts';
import { flag, supported } from '../loaders/config.ts';
import { roundHalfEven } from './arrays.ts';
import { alphasCumprod } from './betas.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import { checkIndex, existing, finiteSteps } from './schedule.ts';
import type {
  CustomSchedule,
  NoiseCoefficients,
  Scheduler,
  SchedulerConfig,
  StepCoefficients,
  StepOptions,
} from './scheduler.ts';
import { above, type Overrides, type Resolved, resolveSettings, TRAINING_SETTINGS } from './settings.ts';
import { spaceTimesteps, spacingSetting, stepCount } from './spacing.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  clip_sample: flag(true),
  clip_sample_range: v.optional(above(0), 1),
  set_alpha_to_one: flag(true),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  thresholding: supported(false),
  dynamic_thresholding_ratio: v.optional(v.number(), 0.995),
  sample_max_value: v.optional(v.number(), 1),
  timestep_spacing: spacingSetting('leading'),
});

/**
 * DDIM, with fresh noise where `eta` is above 0 (1 is DDPM). Draws noise at every step if `eta` > 0, else never.
 *
 * As in diffusers, a step goes down by floor(train steps / inference steps) whatever the spacing, so with 'trailing'
 * spacing and a count that does not divide, the last step may end at timestep 0 rather than at clean latents.
 */
export class DDIMScheduler implements Scheduler {
  static readonly className = 'DDIMScheduler';
  readonly config: Resolved<typeof SETTINGS.entries>;
  readonly slots = 1;
  readonly initNoiseSigma = 1;
  readonly #alphas: Float32Array;
  #schedule: { readonly timesteps: readonly number[]; readonly stride: number } | undefined;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): DDIMScheduler {
    return new DDIMScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    this.config = config;
    this.#alphas = alphasCumprod(config);
  }

  get timesteps(): readonly number[] {
    return existing(this.#schedule).timesteps;
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
    const timesteps = spaceTimesteps(count, options).map(roundHalfEven);
    if (timesteps[0] >= trainSteps)
      throw new OptionError(
        `steps_offset ${stepsOffset} puts the first timestep beyond the last training timestep`,
        {
          field: 'numInferenceSteps',
          remedy: 'Take fewer steps, or another timestepSpacing',
        },
      );
    this.#schedule = { timesteps, stride: Math.floor(trainSteps / count) };
  }

  steps({ eta = 0, beginIndex = 0 }: StepOptions = {}): StepCoefficients[] {
    const { timesteps, stride } = existing(this.#schedule);
    checkIndex(beginIndex, timesteps.length, 'beginIndex');
    if (!(eta >= 0 && eta <= 1))
      throw new OptionError(`${eta} is not a share`, { field: 'eta', remedy: 'Give a number from 0 to 1' });
    const steps = timesteps.slice(beginIndex).map((timestep) => this.#step(timestep, timestep - stride, eta));
    return finiteSteps(steps, DDIMScheduler.className);
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    checkIndex(index, this.timesteps.length, 'index');
    const alpha = this.#alphas[this.timesteps[index]];
    return { sample: Math.sqrt(alpha), noise: Math.sqrt(1 - alpha) };
  }

  /** Formulas (12) and (16) of the paper; `alpha` is its alpha, the cumulative product. */
  #step(timestep: number, previous: number, eta: number): StepCoefficients {
    const { prediction_type, clip_sample, clip_sample_range, set_alpha_to_one } = this.config;
    const finalAlpha = set_alpha_to_one ? 1 : this.#alphas[0];
    const alpha = this.#alphas[timestep];
    const alphaNext = previous >= 0 ? this.#alphas[previous] : finalAlpha;
    const { x0, noise } = predictionForms(prediction_type, Math.sqrt(alpha), Math.sqrt(1 - alpha));
    const deviation = eta * Math.sqrt(((1 - alphaNext) / (1 - alpha)) * (1 - alpha / alphaNext));
    const direction = Math.sqrt(Math.max(1 - alphaNext - deviation ** 2, 0));
    return {
      timestep,
      input: [1],
      x0: { state: [x0.sample], output: x0.output, clip: clip_sample ? clip_sample_range : Infinity },
      next: {
        state: [[direction * noise.sample]],
        output: [direction * noise.output],
        x0: [Math.sqrt(alphaNext)],
        noise: [deviation],
      },
      usesNoise: eta > 0,
    };
  }
}
