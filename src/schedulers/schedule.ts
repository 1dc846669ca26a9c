/**
 * @file What all schedulers do with the schedule that `setTimesteps` made.
 */
import { ConfigError, OptionError } from '../errors.ts';
import type { StepCoefficients } from './scheduler.ts';

/** The schedule, or an OptionError where `setTimesteps` has not been called. */
export function existing<Schedule>(schedule: Schedule | undefined): Schedule {
  if (schedule === undefined)
    throw new OptionError('the scheduler has no schedule yet', {
      field: 'scheduler',
      remedy: 'Call setTimesteps(numInferenceSteps) first',
    });
  return schedule;
}

/** Throws OptionError unless `index` is that of one of `count` timesteps. */
export function checkIndex(index: number, count: number, field: string): void {
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new OptionError(`${index} is not the index of one of the ${count} timesteps`, {
      field,
      remedy: `Give a whole number from 0 to ${count - 1}`,
    });
}

/** Hands steps on if all their numbers are finite; diffusers would go on with pictures of NaN. */
export function finiteSteps(steps: StepCoefficients[], className: string): StepCoefficients[] {
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
          'Take fewer steps; with zero terminal SNR a model must predict the velocity (prediction_type v_prediction)',
      });
  }
  return steps;
}
