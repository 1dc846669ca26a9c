/** @file What all schedulers do alike: keep a schedule, check arguments, and refuse steps that are not finite. */
import { ConfigError, OptionError } from '../errors.ts';
import type {
  CustomSchedule,
  NoiseCoefficients,
  Scheduler,
  SchedulerConfig,
  StepCoefficients,
  StepOptions,
} from './scheduler.ts';

/** What `setTimesteps` makes; classes add what their steps need. */
export interface Schedule {
  readonly timesteps: readonly number[];
}

/** A schedule of noise levels: step i goes from sigma i to the next. */
export interface SigmaSchedule extends Schedule {
  readonly sigmas: readonly number[];
}

/** A scheduler without its method: subclasses plan schedules and turn them into steps. */
export abstract class BaseScheduler<
  Config extends SchedulerConfig,
  Plan extends Schedule,
> implements Scheduler {
  readonly config: Config;
  readonly order: 1 | 2 = 1;
  abstract readonly slots: number;
  abstract readonly initNoiseSigma: number;
  #schedule: Plan | undefined;

  protected constructor(config: Config) {
    this.config = config;
  }

  get timesteps(): readonly number[] {
    return this.schedule.timesteps;
  }

  /** The schedule, or an OptionError where `setTimesteps` has not been called. */
  protected get schedule(): Plan {
    if (this.#schedule === undefined)
      throw new OptionError('the scheduler has no schedule yet', {
        field: 'scheduler',
        remedy: 'Call setTimesteps(numInferenceSteps) first',
      });
    return this.#schedule;
  }

  setTimesteps(numInferenceSteps: number | undefined, custom: CustomSchedule = {}): void {
    this.#schedule = this.plan(numInferenceSteps, custom);
  }

  steps({ eta = 0, beginIndex = 0, count }: StepOptions = {}): StepCoefficients[] {
    checkIndex(beginIndex, this.timesteps.length, 'beginIndex');
    if (beginIndex % this.order !== 0)
      throw new OptionError(`${beginIndex} is between two network calls of one step`, {
        field: 'beginIndex',
        remedy: `Give a multiple of ${this.order}`,
      });
    const steps = this.solve(beginIndex, eta).slice(0, count);
    checkFinite(steps, String(this.config['_class_name']));
    return steps;
  }

  noiseCoefficients(index: number): NoiseCoefficients {
    checkIndex(index, this.timesteps.length, 'index');
    return this.mix(index);
  }

  /** Checks the arguments of `setTimesteps` and makes the schedule. */
  protected abstract plan(numInferenceSteps: number | undefined, custom: CustomSchedule): Plan;

  /** The steps from `begin` to the end of the schedule. */
  protected abstract solve(begin: number, eta: number): StepCoefficients[];

  /** `noiseCoefficients` for an index that exists. */
  protected abstract mix(index: number): NoiseCoefficients;
}

function checkIndex(index: number, count: number, field: string): void {
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new OptionError(`${index} is not the index of one of the ${count} timesteps`, {
      field,
      remedy: `Give a whole number from 0 to ${count - 1}`,
    });
}

/** diffusers would go on with pictures of NaN. */
function checkFinite(steps: readonly StepCoefficients[], className: string): void {
  for (const { timestep, input, x0, next } of steps) {
    const numbers = [
      timestep,
      input,
      x0.state,
      x0.output,
      next.state.flat(),
      next.output,
      next.x0,
      next.noise,
    ];
    if (!numbers.flat().every(Number.isFinite))
      throw new ConfigError(`the step at timestep ${timestep} divides by zero with these settings`, {
        field: className,
        remedy:
          'Take fewer steps, or lower_order_final true or final_sigmas_type sigma_min; with zero terminal SNR a ' +
          'model must predict the velocity (prediction_type v_prediction)',
      });
  }
}
