/**
 * @file What exponential integrators (DPM-Solver, UniPC, DEIS) share: latents are alpha * clean + sigma * noise with
 * alpha^2 + sigma^2 = 1, and schedules are lists of the ratios sigma / alpha, which diffusers calls sigmas too.
 */
import { OptionError } from '../errors.ts';
import { roundHalfEven } from './arrays.ts';
import { BaseScheduler, type SigmaSchedule } from './base-scheduler.ts';
import { type BetaConfig, trainingSigmas } from './betas.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import type { NoiseCoefficients, SchedulerConfig } from './scheduler.ts';
import { sigmaSpacingOf, type SigmaSpacingConfig } from './settings.ts';
import { sigmaBounds, type SigmaSpacing, sigmasAt, spaceSigmas, toTimesteps } from './sigmas.ts';
import { type Basis, basis, combine, type Sum } from './sums.ts';

type SolverConfig = SchedulerConfig &
  BetaConfig &
  SigmaSpacingConfig & { readonly prediction_type: PredictionType };

/** A scheduler that integrates over log(alpha / sigma). */
export abstract class SolverScheduler<Config extends SolverConfig> extends BaseScheduler<
  Config,
  SigmaSchedule
> {
  readonly initNoiseSigma = 1;
  protected readonly trainingSigmas: Float32Array;
  /** How sigmas are spaced, if not by timesteps. */
  protected readonly spacing: SigmaSpacing | undefined;

  /**
   * @param rescale whether betas are rescaled to zero terminal SNR
   * @param usesLu whether sigmas are spaced by Lu's rule, unless by Karras's
   */
  protected constructor(config: Config, rescale: boolean, usesLu = false) {
    super(config);
    const spacing = sigmaSpacingOf(config);
    this.spacing = usesLu && spacing !== 'karras' ? 'lu' : spacing;
    this.trainingSigmas = trainingSigmas(config, rescale);
  }

  /** Noise levels (sigma / alpha) of the schedule, one more than it has timesteps. */
  get sigmas(): readonly number[] {
    return this.schedule.sigmas;
  }

  protected mix(index: number): NoiseCoefficients {
    const { alpha, sigma } = signalAndNoise(this.sigmas[index]);
    return { sample: alpha, noise: sigma };
  }

  protected basis(): Basis {
    return basis(this.slots);
  }

  /** The schedule by whole timesteps. Throws OptionError where the settings space sigmas. */
  protected atTimesteps(timesteps: readonly number[], last: number): SigmaSchedule {
    if (this.spacing !== undefined)
      throw new OptionError('the settings already say how sigmas are spaced', {
        field: 'timesteps',
        remedy: `Leave timesteps out, or make the scheduler without ${this.spacing} spacing`,
      });
    const sigmas = sigmasAt(timesteps, this.trainingSigmas);
    return { timesteps, sigmas: [...sigmas, last].map(Math.fround) };
  }

  /**
   * The schedule of `count` sigmas spaced over those of training (within the bounds of a configuration made for Euler's
   * method), with timesteps that are rounded or else cut down to whole numbers.
   *
   * @param last the sigma to end at; the last of those spaced, once more, if it is not given.
   */
  protected atSigmas(spacing: SigmaSpacing, count: number, rounds: boolean, last?: number): SigmaSchedule {
    const training = this.trainingSigmas;
    const { min = training[0], max = training[training.length - 1] } = sigmaBounds(this.config);
    const sigmas = spaceSigmas(spacing, min, max, count);
    return {
      timesteps: toTimesteps(sigmas, training).map(rounds ? roundHalfEven : Math.trunc),
      sigmas: [...sigmas, last ?? sigmas[count - 1]].map(Math.fround),
    };
  }

  /** The sigma that the step of this index goes to, its own, and those of steps before, for an update of an order. */
  protected sigmasBack(index: number, order: number): number[] {
    return Array.from({ length: order + 1 }, (_, back) => this.sigmas[index + 1 - back]);
  }

  /** How many training timesteps are left out at the noisy end, where log(alpha / sigma) is under a bound. */
  protected clippedTimesteps(lambdaMin: number): number {
    return this.trainingSigmas.filter((sigma) => -Math.log(sigma) < lambdaMin).length;
  }

  /** Clean latents and noise from the output for latents x, slot 0, at the schedule's sigma of this index. */
  protected predict(index: number): { readonly x0: Sum; readonly epsilon: Sum } {
    const { state, output } = this.basis();
    const { alpha, sigma } = signalAndNoise(this.sigmas[index]);
    const { x0, noise } = predictionForms(this.config.prediction_type, alpha, sigma);
    return {
      x0: combine([x0.sample, state[0]], [x0.output, output]),
      epsilon: combine([noise.sample, state[0]], [noise.output, output]),
    };
  }
}

/** alpha and sigma of latents alpha * clean + sigma * noise of variance 1, from their ratio. */
export function signalAndNoise(ratio: number): { alpha: number; sigma: number } {
  const alpha = 1 / Math.sqrt(ratio ** 2 + 1);
  return { alpha, sigma: ratio * alpha };
}
