/**
 * @file What a scheduler is to the rest of calotype: a list of steps, each a linear map on a small state.
 *
 * The state is `slots` tensors of the latents' size. Slot 0 holds the latents x, the others what a solver remembers
 * of earlier steps (all zero at the start). A step calls the network once, on
 *
 *     modelInput = sum_j input[j] * state[j]
 *
 * and with the network's output m (after guidance), noise where the step draws some, and all sums over slots:
 *
 *     x0        = clamp(sum_j x0.state[j] * state[j] + x0.output * m, -x0.clip, x0.clip)
 *     state'[k] = sum_j next.state[k][j] * state[j] + next.output[k] * m + next.x0[k] * x0 + next.noise[k] * noise
 *
 * x0 is the step's prediction of the finished latents, so it also serves previews. Every sampler that diffusers has
 * for Stable Diffusion fits this form, and so one fused kernel runs them all; what differs is numbers, computed here
 * once for a schedule. A method that calls the network twice a step gives two entries.
 */

/** One call of the network and what follows it. Arrays are indexed by slot. */
export interface StepCoefficients {
  /** The timestep that the network is told. */
  readonly timestep: number;
  readonly input: readonly number[];
  readonly x0: {
    readonly state: readonly number[];
    readonly output: number;
    /** Largest magnitude of x0; Infinity where the scheduler does not clip. */
    readonly clip: number;
  };
  readonly next: {
    /** [slot written][slot read] */
    readonly state: readonly (readonly number[])[];
    readonly output: readonly number[];
    readonly x0: readonly number[];
    readonly noise: readonly number[];
  };
  /**
   * Whether the step draws noise of the latents' shape from the generator. diffusers draws in some steps whose noise
   * then counts for nothing; the draw must be made all the same, or later draws shift.
   */
  readonly usesNoise: boolean;
}

/** Options of `steps`. */
export interface StepOptions {
  /** Share of fresh noise, from 0 (none, the default) to 1; DDIM and TCD only, others ignore it as diffusers does. */
  readonly eta?: number;
  /** Index of the timestep to begin at, 0 by default; image-to-image begins later. */
  readonly beginIndex?: number;
  /** How many network calls to take, all by default: a run that hands over to another stops early. */
  readonly count?: number;
}

/** A schedule given by hand in place of a number of steps. */
export interface CustomSchedule {
  /** Timesteps, descending. */
  readonly timesteps?: readonly number[] | undefined;
  /** Noise levels, descending, the last one being where the schedule ends (usually 0). */
  readonly sigmas?: readonly number[] | undefined;
}

/** The grid of timesteps that a latent consistency model was trained on, and how much of it is used. */
export interface GridOptions {
  /** Default: what the configuration says. */
  readonly originalInferenceSteps?: number | undefined;
  /** From 0 to 1. */
  readonly strength: number;
}

/** A scheduler's configuration in diffusers' own names, as in scheduler_config.json. */
export type SchedulerConfig = Readonly<Record<string, unknown>>;

/** A sampler: which timesteps to visit, and how a step leads to the next. */
export interface Scheduler {
  /**
   * All settings with their defaults, in diffusers' names; what other schedulers' files held is kept, so that
   * `OtherScheduler.fromConfig(scheduler.config)` works as in diffusers.
   */
  readonly config: SchedulerConfig;
  /** Number of tensors in the state. */
  readonly slots: number;
  /** diffusers' `order`: 2 where each step but the last lists two timesteps, for two network calls; else 1. */
  readonly order: 1 | 2;
  /** The timesteps of the schedule, first one first. Throws OptionError before `setTimesteps`. */
  readonly timesteps: readonly number[];
  /** Noise levels, for schedulers that count in them, as diffusers lists them; the last is where the schedule ends. */
  readonly sigmas?: readonly number[];
  /** Factor from standard normal noise to initial latents. Throws OptionError before `setTimesteps` if it depends on it. */
  readonly initNoiseSigma: number;

  /**
   * Chooses the schedule: a number of steps, or `undefined` and a custom schedule.
   *
   * Throws OptionError for a number that is no positive integer or too large, for both or neither, and for a custom
   * schedule that this scheduler does not take.
   */
  setTimesteps(numInferenceSteps: number | undefined, custom?: CustomSchedule): void;

  /**
   * Chooses the schedule of a latent consistency model, which takes the strength of an image as a shorter grid; only
   * LCMScheduler can. Throws OptionError as `setTimesteps`, and for more steps than the grid has.
   */
  setGridTimesteps?(numInferenceSteps: number | undefined, custom: CustomSchedule, grid: GridOptions): void;

  /**
   * The steps of the schedule. Throws OptionError before `setTimesteps` and for options out of range, and ConfigError
   * where the settings lead to a division by zero.
   */
  steps(options?: StepOptions): StepCoefficients[];

  /** Weights that mix clean latents and noise for a start at `timesteps[index]` (diffusers' `add_noise`). */
  noiseCoefficients(index: number): NoiseCoefficients;
}

/** noisy latents = sample * latents + noise * normal noise */
export interface NoiseCoefficients {
  readonly sample: number;
  readonly noise: number;
}
