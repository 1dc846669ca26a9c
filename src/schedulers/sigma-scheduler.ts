/**
 * @file What schedulers from k-diffusion share: latents are clean + sigma * noise, and steps go along (x - x0) / sigma
 * (Karras et al., "Elucidating the design space of diffusion-based generative models", 2022).
 */
import { OptionError } from '../errors.ts';
import { BaseScheduler, type SigmaSchedule } from './base-scheduler.ts';
import { type BetaConfig, trainingSigmas } from './betas.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import type { NoiseCoefficients, SchedulerConfig } from './scheduler.ts';
import { sigmaSpacingOf, type SigmaSpacingConfig } from './settings.ts';
import { sigmaBounds, type SigmaSpacing, sigmasAt, spaceSigmas, toTimesteps } from './sigmas.ts';
import { spaceTimesteps, type TimestepSpacing } from './spacing.ts';
import { basis, combine, type Sum } from './sums.ts';

type SigmaConfig = SchedulerConfig &
  BetaConfig &
  Partial<SigmaSpacingConfig> & {
    readonly prediction_type: PredictionType;
    readonly timestep_spacing: TimestepSpacing;
    readonly steps_offset: number;
  };

/** A scheduler that counts in sigmas. */
export abstract class SigmaScheduler<
  Config extends SigmaConfig,
  Plan extends SigmaSchedule = SigmaSchedule,
> extends BaseScheduler<Config, Plan> {
  protected readonly trainingSigmas: Float32Array;
  /** How sigmas are spaced, if not by timesteps. */
  protected readonly spacing: SigmaSpacing | undefined;

  /**
   * @param spacing the class's settings about it, if it has them
   * @param rescale whether betas are rescaled to zero terminal SNR
   */
  protected constructor(config: Config, spacing: SigmaSpacingConfig | undefined, rescale: boolean) {
    super(config);
    this.spacing = spacing && sigmaSpacingOf(spacing);
    this.trainingSigmas = trainingSigmas(config, rescale);
  }

  /** Noise levels of the schedule, as diffusers lists them. */
  get sigmas(): readonly number[] {
    return this.schedule.sigmas;
  }

  /** The first sigma, or with the picture's own variance for 'leading'. */
  get initNoiseSigma(): number {
    const largest = Math.max(...this.sigmas);
    return this.config.timestep_spacing === 'leading' ? Math.sqrt(largest ** 2 + 1) : largest;
  }

  protected mix(index: number): NoiseCoefficients {
    return { sample: 1, noise: this.sigmas[index] };
  }

  /** `count` timesteps by `timestep_spacing`, float32. */
  protected spacedTimesteps(count: number): number[] {
    const {
      num_train_timesteps: trainSteps,
      timestep_spacing: spacing,
      steps_offset: stepsOffset,
    } = this.config;
    return spaceTimesteps(count, { spacing, trainSteps, stepsOffset, skipLowest: false }).map(Math.fround);
  }

  /** Throws OptionError for custom timesteps where `by`, or the class's sigma spacing, sets them. */
  protected refuseCustomTimesteps(by: string | undefined = this.spacing): void {
    if (by !== undefined)
      throw new OptionError('the settings already say how sigmas are spaced', {
        field: 'timesteps',
        remedy: `Leave timesteps out, or make the scheduler without ${by} spacing`,
      });
  }

  /**
   * A schedule with a sigma for each timestep: the training sigmas there, or as many spaced as the settings say
   * between the first and last of `sigmas`, and the timesteps, fractional, at which training had those.
   */
  protected spaceSigmas(
    timesteps: readonly number[],
    sigmas: readonly number[] = sigmasAt(timesteps, this.trainingSigmas),
    bounds: { readonly min?: number; readonly max?: number } = sigmaBounds(this.config),
  ): SigmaSchedule {
    if (this.spacing === undefined) return { timesteps, sigmas };
    const { min = sigmas[sigmas.length - 1], max = sigmas[0] } = bounds;
    const spaced = spaceSigmas(this.spacing, min, max, timesteps.length);
    return { timesteps: toTimesteps(spaced, this.trainingSigmas), sigmas: spaced };
  }

  /** Network input and prediction of clean latents for latents x, slot 0, at noise level `sigma`. */
  protected predict(sigma: number): { readonly input: Sum; readonly x0: Sum } {
    const { state, output } = basis(this.slots);
    // x / sqrt(sigma^2 + 1) = alpha * clean + (alpha * sigma) * noise has variance 1, as in training.
    const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
    const { x0 } = predictionForms(this.config.prediction_type, alpha, alpha * sigma);
    return {
      input: combine([alpha, state[0]]),
      x0: combine([x0.sample * alpha, state[0]], [x0.output, output]),
    };
  }

  /** (x - x0) / sigma: the direction of more noise at latents x, slot 0. */
  protected derivative(sigma: number): Sum {
    const { state, x0 } = basis(this.slots);
    return combine([1 / sigma, state[0]], [-1 / sigma, x0]);
  }
}
