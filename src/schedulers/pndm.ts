/**
 * @file PNDM: Liu et al., "Pseudo numerical methods for diffusion models on manifolds" (2022), as diffusers'
 * `PNDMScheduler`: linear multistep (PLMS), started by Runge-Kutta steps (PRK) or, with `skip_prk_steps`, without.
 */
import * as v from 'valibot';
import { OptionError } from '../errors.ts';
import { flag, supported } from '../loaders/config.ts';
import { AlphaScheduler, checkFirstTimestep } from './alpha-scheduler.ts';
import type { Schedule } from './base-scheduler.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  OFFSET_SETTINGS,
  type Overrides,
  type Resolved,
  resolveSettings,
  TRAINING_SETTINGS,
} from './settings.ts';
import { spacingSetting, stepCount, wholeTimesteps } from './spacing.ts';
import { combine, type Sum, toCoefficients } from './sums.ts';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  skip_prk_steps: flag(false),
  set_alpha_to_one: flag(false),
  prediction_type: supported('epsilon', 'v_prediction'),
  timestep_spacing: spacingSetting('leading'),
});

/** Weights of the latest outputs, latest first: Adams-Bashforth of orders 1 to 4. */
const MULTISTEP = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]];

/** Weights of the four outputs of a Runge-Kutta step. */
const RUNGE_KUTTA = [1 / 6, 1 / 3, 1 / 3, 1 / 6];

/** Runge-Kutta steps that start the multistep method, and the network calls of each. */
const [PRK_STEPS, PRK_CALLS] = [3, 4];

/** Slots: the latents, those that a step of several calls began with, three earlier outputs, a Runge-Kutta sum. */
const [LATENTS, BEGINNING, EARLIER, WEIGHTED] = [0, 1, 2, 5];

/**
 * PNDM; draws no noise. It calls the network once more than there are steps with `skip_prk_steps`, else 9 times more.
 *
 * As in diffusers, calls are counted from where a run begins: a run that begins later takes its first two timesteps
 * for the two calls of a first step.
 */
export class PNDMScheduler extends AlphaScheduler<Resolved<typeof SETTINGS.entries>, PNDMSchedule> {
  static readonly className = 'PNDMScheduler';
  readonly slots: number;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): PNDMScheduler {
    return new PNDMScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, false);
    this.slots = config.skip_prk_steps ? WEIGHTED : WEIGHTED + 1;
  }

  /** Takes a number of steps only; at least 4 without `skip_prk_steps`. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): PNDMSchedule {
    const { num_train_timesteps: trainSteps, skip_prk_steps } = this.config;
    const count = stepCount(numInferenceSteps, custom, trainSteps);
    const stride = Math.floor(trainSteps / count);
    const spaced = wholeTimesteps(count, this.config);
    checkFirstTimestep(spaced, trainSteps);
    if (skip_prk_steps) return { timesteps: [...spaced.slice(0, 2), ...spaced.slice(1)], stride };
    if (count <= PRK_STEPS)
      throw new OptionError(`${count} steps are too few for Runge-Kutta steps`, {
        field: 'numInferenceSteps',
        remedy: `Give at least ${PRK_STEPS + 1}, or make the scheduler with skipPrkSteps`,
      });
    const half = Math.floor(stride / 2);
    const prk = spaced
      .slice(0, PRK_STEPS)
      .flatMap((t, i) => [t, spaced[i + 1] + half, spaced[i + 1] + half, spaced[i + 1]]);
    return { timesteps: [...prk, ...spaced.slice(PRK_STEPS)], stride };
  }

  protected solve(begin: number): StepCoefficients[] {
    const remaining = this.timesteps.slice(begin);
    if (this.config.skip_prk_steps)
      return remaining.map((timestep, call) => {
        if (call === 1) return this.#correction(timestep);
        // The first two calls make one step, and the second one's output is not kept.
        return this.#multistep(timestep, call === 0 ? 1 : call);
      });
    return remaining.map((timestep, call) =>
      call < PRK_STEPS * PRK_CALLS
        ? this.#rungeKutta(timestep, call)
        : this.#multistep(timestep, MULTISTEP.length),
    );
  }

  /** One of the four calls of a Runge-Kutta step; `call` counts from where the run begins. */
  #rungeKutta(timestep: number, call: number): StepCoefficients {
    const { timesteps, stride } = this.schedule;
    const { state, output } = this.basis();
    const stage = call % PRK_CALLS;
    const from = timesteps[call - stage];
    const to = timestep - (call % 2 === 0 ? Math.floor(stride / 2) : 0);
    const earlier = state.slice(EARLIER, WEIGHTED);
    const beginning = stage === 0 ? state[LATENTS] : state[BEGINNING];
    const weighted = combine([stage === 0 ? 0 : 1, state[WEIGHTED]], [RUNGE_KUTTA[stage], output]);
    const slope = stage === PRK_CALLS - 1 ? weighted : output;
    return this.#call(timestep, [
      this.#transfer(beginning, from, to, slope),
      beginning,
      ...(stage === 0 ? [output, ...earlier.slice(0, -1)] : earlier),
      weighted,
    ]);
  }

  /** The first step once more, with the mean of the outputs at both of its ends. */
  #correction(timestep: number): StepCoefficients {
    const { state, output } = this.basis();
    const earlier = state.slice(EARLIER, WEIGHTED);
    const mean = combine([0.5, output], [0.5, earlier[0]]);
    const next = this.#transfer(state[BEGINNING], timestep + this.schedule.stride, timestep, mean);
    return this.#call(timestep, [next, state[LATENTS], ...earlier]);
  }

  /** A step by this and the earlier outputs, `order` in all. */
  #multistep(timestep: number, order: number): StepCoefficients {
    const { state, output } = this.basis();
    const x = state[LATENTS];
    const outputs = [output, ...state.slice(EARLIER, WEIGHTED)];
    const weights = MULTISTEP[Math.min(order, MULTISTEP.length) - 1];
    const slope = combine(...weights.map((weight, i) => [weight, outputs[i]] as const));
    const next = this.#transfer(x, timestep, timestep - this.schedule.stride, slope);
    return this.#call(timestep, [next, x, ...outputs.slice(0, -1)]);
  }

  /** One network call, and what the slots hold afterwards. */
  #call(timestep: number, next: readonly Sum[]): StepCoefficients {
    const {
      state: [x],
      output,
    } = this.basis();
    const { x0 } = this.predictions(timestep, x, output);
    return toCoefficients(this.slots, { timestep, input: x, x0, next });
  }

  /** Formula (9) of the paper: `sample` at timestep `from` taken to timestep `to` by a network output. */
  #transfer(sample: Sum, from: number, to: number, output: Sum): Sum {
    const alpha = this.alpha(from);
    const alphaNext = this.alpha(to, this.finalAlpha(this.config.set_alpha_to_one));
    const { epsilon } = this.predictions(from, sample, output);
    const denominator = alpha * Math.sqrt(1 - alphaNext) + Math.sqrt(alpha * (1 - alpha) * alphaNext);
    return combine([Math.sqrt(alphaNext / alpha), sample], [-(alphaNext - alpha) / denominator, epsilon]);
  }
}

interface PNDMSchedule extends Schedule {
  /** Training timesteps that a multistep step goes down. */
  readonly stride: number;
}
