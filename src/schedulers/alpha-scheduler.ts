/**
 * @file What schedulers on whole training timesteps share: latents are sqrt(alpha) * clean + sqrt(1 - alpha) * noise,
 * where alpha is the training schedule's alphas_cumprod at the timestep.
 */
import { OptionError } from '../errors.ts';
import { BaseScheduler, type Schedule } from './base-scheduler.ts';
import { type BetaConfig, alphasCumprod } from './betas.ts';
import { predictionForms, type PredictionType } from './prediction.ts';
import type { NoiseCoefficients, SchedulerConfig } from './scheduler.ts';
import { type Basis, basis, combine, type Sum } from './sums.ts';

/** Stands for a signal of zero where x0 is clipped: what is divided by it is beyond any bound, and finite in float32. */
const SMALLEST_SIGNAL = 1e-30;

/** What a network's output says at a timestep, in terms of latents x, slot 0. */
interface Predictions {
  readonly x0: Sum;
  /** The noise in x. */
  readonly epsilon: Sum;
}

/** A scheduler that looks signal levels up by timestep. */
export abstract class AlphaScheduler<
  Config extends SchedulerConfig & BetaConfig & { readonly prediction_type: PredictionType },
  Plan extends Schedule = Schedule,
> extends BaseScheduler<Config, Plan> {
  readonly initNoiseSigma = 1;
  readonly #alphas: Float32Array;

  /** @param rescale whether betas are rescaled to zero terminal SNR */
  protected constructor(config: Config, rescale: boolean) {
    super(config);
    this.#alphas = alphasCumprod(config, rescale);
  }

  /** alphas_cumprod at a timestep of training, `beyond` for those under 0. */
  protected alpha(timestep: number, beyond = 1): number {
    return timestep >= 0 ? this.#alphas[timestep] : beyond;
  }

  /** alphas_cumprod after the last step, by the setting `set_alpha_to_one`. */
  protected finalAlpha(setAlphaToOne: boolean): number {
    return setAlphaToOne ? 1 : this.#alphas[0];
  }

  protected basis(): Basis {
    return basis(this.slots);
  }

  /**
   * x0 and noise from `output`, a prediction for the latents `x` at a timestep.
   *
   * @param clip what x0 will be clipped to. Where nothing is left of the picture (zero terminal SNR), a model of noise says
   *   nothing about it but its sign, and x0 is this bound.
   */
  protected predictions(timestep: number, x: Sum, output: Sum, clip = Infinity): Predictions {
    const alpha = this.alpha(timestep);
    const { x0, noise } = predictionForms(
      this.config.prediction_type,
      Math.max(Math.sqrt(alpha), clip < Infinity ? SMALLEST_SIGNAL : 0),
      Math.sqrt(1 - alpha),
    );
    return {
      x0: combine([x0.sample, x], [x0.output, output]),
      epsilon: combine([noise.sample, x], [noise.output, output]),
    };
  }

  protected mix(index: number): NoiseCoefficients {
    const alpha = this.alpha(this.timesteps[index]);
    return { sample: Math.sqrt(alpha), noise: Math.sqrt(1 - alpha) };
  }
}

/** Throws OptionError where an offset puts the first of `timesteps` beyond training. */
export function checkFirstTimestep(timesteps: readonly number[], trainSteps: number): void {
  if (timesteps[0] >= trainSteps)
    throw new OptionError('steps_offset puts the first timestep beyond the last training timestep', {
      field: 'numInferenceSteps',
      remedy: 'Take fewer steps, or another timestepSpacing',
    });
}

/** Throws OptionError unless `eta` is from 0 to 1. */
export function checkEta(eta: number): void {
  if (!(eta >= 0 && eta <= 1))
    throw new OptionError(`${eta} is not a share`, { field: 'eta', remedy: 'Give a number from 0 to 1' });
}
