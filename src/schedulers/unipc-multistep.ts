/**
 * @file UniPC: Zhao et al., "UniPC: a unified predictor-corrector framework for fast sampling of diffusion models"
 * (2023), as diffusers' `UniPCMultistepScheduler`.
 */
import * as v from 'valibot';
import { flag, oneOf, supported, whole } from '../loaders/config.ts';
import { solveVandermonde } from './arrays.ts';
import type { SigmaSchedule } from './base-scheduler.ts';
import type { PredictionType } from './prediction.ts';
import type { CustomSchedule, SchedulerConfig, StepCoefficients } from './scheduler.ts';
import {
  FINAL_SIGMA_SETTINGS,
  FLOW_SETTINGS,
  OFFSET_SETTINGS,
  type Overrides,
  RESCALE_SETTINGS,
  type Resolved,
  resolveSettings,
  SIGMA_BOUND_SETTINGS,
  SIGMA_SPACING_SETTINGS,
  THRESHOLDING_SETTINGS,
  TRAINING_SETTINGS,
} from './settings.ts';
import { signalAndNoise, SolverScheduler } from './solver-scheduler.ts';
import { spacingSetting, stepCount, wholeTimestepsAboveZero } from './spacing.ts';
import { combine, type Sum, toCoefficients } from './sums.ts';

/** The paper's B(h): h itself, or e^h - 1. */
type SolverType = 'bh1' | 'bh2';

const SETTINGS = v.object({
  ...TRAINING_SETTINGS,
  ...OFFSET_SETTINGS,
  ...RESCALE_SETTINGS,
  ...SIGMA_SPACING_SETTINGS,
  ...SIGMA_BOUND_SETTINGS,
  ...FINAL_SIGMA_SETTINGS,
  ...THRESHOLDING_SETTINGS,
  ...FLOW_SETTINGS,
  solver_order: v.optional(oneOf(1, 2, 3), 2),
  prediction_type: supported<PredictionType>('epsilon', 'sample', 'v_prediction'),
  predict_x0: flag(true),
  // Files of DPM-Solver and DEIS hold their own names here, which stand for the default.
  solver_type: v.optional(
    v.pipe(
      oneOf('bh2', 'bh1', 'midpoint', 'heun', 'logrho'),
      v.transform((type): SolverType => (type === 'bh1' ? 'bh1' : 'bh2')),
    ),
    'bh2',
  ),
  lower_order_final: flag(true),
  disable_corrector: v.optional(v.array(whole(0)), () => []),
  solver_p: supported(null),
  shift_terminal: supported(null),
  timestep_spacing: spacingSetting('linspace'),
});

/**
 * UniPC, orders 1 to 3; draws no noise. Each network output first corrects the latents it was computed for and then
 * predicts the next ones. `disable_corrector` lists the indices of steps whose latents are not corrected.
 *
 * Karras timesteps are rounded, exponential and beta ones cut down to whole numbers, as in diffusers; where those end
 * at 'sigma_min' the last step does nothing. 'bh1' and `predict_x0` false cannot end at a sigma of zero: diffusers
 * gives NaN, here `steps` throws.
 */
export class UniPCMultistepScheduler extends SolverScheduler<Resolved<typeof SETTINGS.entries>> {
  static readonly className = 'UniPCMultistepScheduler';
  /** The latents, the corrected latents of the step before, and the converted outputs of steps before. */
  readonly slots: number;

  /** @throws ConfigError, OptionError: see `resolveSettings`. */
  static fromConfig(
    config: SchedulerConfig,
    overrides: Overrides<typeof SETTINGS.entries> = {},
    file?: string,
  ): UniPCMultistepScheduler {
    return new UniPCMultistepScheduler(resolveSettings(this.className, SETTINGS, config, overrides, file));
  }

  private constructor(config: Resolved<typeof SETTINGS.entries>) {
    super(config, config.rescale_betas_zero_snr);
    this.slots = 2 + config.solver_order;
  }

  /** Takes a number of steps only. */
  protected plan(numInferenceSteps: number | undefined, custom: CustomSchedule): SigmaSchedule {
    const endsAtZero = this.config.final_sigmas_type === 'zero';
    const count = stepCount(numInferenceSteps, custom, this.config.num_train_timesteps);
    if (this.spacing)
      return this.atSigmas(this.spacing, count, this.spacing === 'karras', endsAtZero ? 0 : undefined);
    const last = endsAtZero ? 0 : this.trainingSigmas[0];
    return this.atTimesteps(wholeTimestepsAboveZero(count, this.config), last);
  }

  protected solve(begin: number): StepCoefficients[] {
    const { predict_x0, disable_corrector } = this.config;
    const {
      state: [x, before, ...earlier],
      x0,
    } = this.basis();
    return this.timesteps.slice(begin).map((timestep, done) => {
      const index = begin + done;
      const predicted = this.predict(index);
      const output = predict_x0 ? x0 : predicted.epsilon;
      const corrects = done > 0 && !disable_corrector.includes(index - 1);
      const corrected = corrects
        ? this.#integrate(before, index - 1, this.#order(index - 1, done - 1), earlier, output)
        : x;
      const outputs = [output, ...earlier];
      return toCoefficients(this.slots, {
        timestep,
        input: x,
        x0: predicted.x0,
        next: [
          this.#integrate(corrected, index, this.#order(index, done), outputs),
          corrected,
          ...outputs.slice(0, -1),
        ],
      });
    });
  }

  /** The order of a step: as many steps as were done before it, and as are left if the end should be low. */
  #order(index: number, done: number): number {
    const { solver_order, lower_order_final } = this.config;
    const most = lower_order_final ? this.timesteps.length - index : Infinity;
    return Math.min(solver_order, most, done + 1);
  }

  /**
   * The step of an index from latents `sample`, by converted outputs, latest first: the paper's UniP, or UniC where the
   * output at the step's end, `atEnd`, is known.
   */
  #integrate(sample: Sum, index: number, order: number, outputs: readonly Sum[], atEnd?: Sum): Sum {
    const { predict_x0, solver_type } = this.config;
    const [target, current, ...back] = this.sigmasBack(index, order);
    const [to, from] = [signalAndNoise(target), signalAndNoise(current)];
    const h = Math.log(current) - Math.log(target);
    const signed = predict_x0 ? -h : h;
    const growth = Math.expm1(signed);
    const scale = predict_x0 ? to.alpha : to.sigma;
    const kept = predict_x0 ? to.sigma / from.sigma : to.alpha / from.alpha;
    const b = solver_type === 'bh1' ? signed : growth;

    const nodes = back.map((sigma) => (Math.log(current) - Math.log(sigma)) / h);
    const points = [
      ...nodes.map((node, i) => [node, outputs[i + 1]] as const),
      ...(atEnd ? [[1, atEnd] as const] : []),
    ];
    const weights = unifiedWeights(
      points.map(([node]) => node),
      signed,
      b,
    );
    const slopes = points.map(([node, output], i) => [weights[i] / node, output] as const);
    const total = slopes.reduce((sum, [weight]) => sum + weight, 0);
    return combine(
      [kept, sample],
      [-scale * (growth - b * total), outputs[0]],
      ...slopes.map(([weight, output]) => [-scale * b * weight, output] as const),
    );
  }
}

/**
 * Weights of the outputs' differences at these nodes, in units of the step `h`, by the paper's order conditions. For a
 * single one, one half, which meets them up to terms of the next order and is what diffusers takes.
 */
function unifiedWeights(nodes: readonly number[], h: number, b: number): number[] {
  if (nodes.length < 2) return nodes.map(() => 0.5);
  let phi = Math.expm1(h) / h - 1;
  let factorial = 1;
  const moments = nodes.map((_, i) => {
    const moment = (phi * factorial) / b;
    factorial *= i + 2;
    phi = phi / h - 1 / factorial;
    return moment;
  });
  return solveVandermonde(nodes, moments);
}
