/**
 * @file DPM-Solver-2 over sigmas: steps of two network calls, where the derivative between two noise levels takes the
 * latents all the way (Karras et al., "Elucidating the design space of diffusion-based generative models", 2022,
 * algorithm 3, after Lu et al., "DPM-Solver", 2022).
 */
import { supported } from '../loaders/config.ts';
import { roundHalfEven } from './arrays.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { CustomSchedule, StepCoefficients } from './scheduler.ts';
import {
  OFFSET_SETTINGS,
  type Resolved,
  SIGMA_SPACING_SETTINGS,
  STABLE_DIFFUSION_TRAINING_SETTINGS,
} from './settings.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { toTimesteps } from './sigmas.ts';
import { spacingSetting, stepCount } from './spacing.ts';
import { basis, combine, type SumStep, toCoefficients } from './sums.ts';

/** Settings of both classes. */
export const TWO_CALL_SETTINGS = {
  ...STABLE_DIFFUSION_TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  prediction_type: supported('epsilon', 'v_prediction'),
  timestep_spacing: spacingSetting('linspace'),
};

/** Noise levels of a step: begins at `sigma`, calls again at `middle`, goes to `target` and adds noise there. */
export interface Stage {
  readonly sigma: number;
  readonly middle: number;
  readonly target: number;
  readonly noise: number;
}

interface TwoCallSchedule extends SigmaSchedule {
  readonly stages: readonly Stage[];
}

/** Shared by KDPM2 and its ancestral variant, which differ in where steps go. */
export abstract class TwoCallScheduler extends SigmaScheduler<
  Resolved<typeof TWO_CALL_SETTINGS>,
  TwoCallSchedule
> {
  override readonly order = 2;
  /** The latents (between two calls: those at the middle), and those that the step began with. */
  readonly slots = 2;
  /** Whether steps draw noise. */
  protected abstract readonly draws: boolean;

  /** The step from one sigma to the next, neither of them 0. */
  protected abstract stage(sigma: number, next: number): Stage;

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): TwoCallSchedule {
    const count = stepCount(numInferenceSteps, custom, this.config.num_train_timesteps);
    const spaced = this.spaceSigmas(this.spacedTimesteps(count));
    const sigmas = spaced.sigmas.map(Math.fround);
    const timesteps = this.spacing === 'karras' ? spaced.timesteps.map(roundHalfEven) : spaced.timesteps;
    const stages = sigmas.slice(0, -1).map((sigma, i) => this.stage(sigma, sigmas[i + 1]));
    const middles = toTimesteps(
      Float32Array.from(stages, ({ middle }) => middle),
      this.trainingSigmas,
    ).map(Math.fround);
    return {
      timesteps: timesteps.flatMap((t, i) => (i === 0 ? [t] : [middles[i - 1], t])),
      // By network call, as diffusers lists them, which has two zeros more than there are calls for.
      sigmas: [...sigmas.flatMap((sigma, i) => (i === 0 ? [sigma] : [sigma, sigma])), 0, 0, 0],
      stages,
    };
  }

  protected solve(begin: number): StepCoefficients[] {
    const { timesteps, sigmas, stages } = this.schedule;
    return timesteps.slice(begin).map((timestep, call) => {
      const stage = stages[Math.floor((begin + call) / 2)];
      // The last step has one call, straight to sigma 0.
      const { input, x0, next } =
        stage === undefined
          ? this.#firstCall(sigmas[begin + call], 0)
          : call % 2 === 0
            ? this.#firstCall(stage.sigma, stage.middle)
            : this.#secondCall(stage);
      return toCoefficients(this.slots, {
        timestep,
        input,
        x0,
        next,
        usesNoise: this.draws && call % 2 === 1,
      });
    });
  }

  #firstCall(sigma: number, middle: number): Omit<SumStep, 'timestep'> {
    const {
      state: [x],
    } = basis(this.slots);
    const next = combine([1, x], [middle - sigma, this.derivative(sigma)]);
    return { ...this.predict(sigma), next: [next, x] };
  }

  #secondCall({ sigma, middle, target, noise: deviation }: Stage): Omit<SumStep, 'timestep'> {
    const {
      state: [, beginning],
      noise,
    } = basis(this.slots);
    const next = combine([1, beginning], [target - sigma, this.derivative(middle)], [deviation, noise]);
    return { ...this.predict(middle), next: [next] };
  }
}

/** The sigma half way between two on a logarithmic scale. */
export function geometricMean(sigma: number, next: number): number {
  return Math.sqrt(sigma * next);
}
