/**
 * @file Where a run begins and ends if it is not the whole schedule: image-to-image by strength, and schedules that two
 * models share (SDXL's base and refiner), as diffusers' pipelines cut them.
 */
import { OptionError } from '../errors.ts';
import { roundHalfEven } from './arrays.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * The index to begin at (`StepOptions.beginIndex`) for an image-to-image run of a strength: the later, the more of the
 * image is kept.
 *
 * @param count the number of steps that the schedule was made for; for a custom schedule, of its timesteps.
 * @param strength from 0 to 1; 1 begins at the first timestep.
 * @throws OptionError for a strength out of range and for one that leaves no step to do.
 */
export function strengthStart(scheduler: Scheduler, count: number, strength: number): number {
  checkShare('strength', strength);
  const start = Math.max(count - Math.trunc(count * strength), 0) * scheduler.order;
  return checkStart('strength', start, scheduler);
}

/**
 * The index to begin at for a run that takes over from another at a share of the schedule, `denoising_start`.
 *
 * @throws OptionError for a share out of range and for one that leaves no step to do.
 */
export function denoisingStartIndex(scheduler: Scheduler, share: number): number {
  checkShare('denoisingStart', share);
  const cutoff = cutoffTimestep(scheduler, share);
  const below = scheduler.timesteps.filter((timestep) => timestep < cutoff).length;
  // A step of two calls is not cut in two: all but the last step list two timesteps, so that whole steps are odd.
  const calls = scheduler.order === 2 && below % 2 === 0 ? below + 1 : below;
  return checkStart('denoisingStart', scheduler.timesteps.length - calls, scheduler);
}

/**
 * How many timesteps a run visits that hands over to another at a share of the schedule, `denoising_end`.
 *
 * @param begin the index that the run begins at
 * @throws OptionError for a share out of range and for one that leaves no step to do.
 */
export function denoisingEndCount(scheduler: Scheduler, share: number, begin = 0): number {
  checkShare('denoisingEnd', share);
  const cutoff = cutoffTimestep(scheduler, share);
  const count = scheduler.timesteps.slice(begin).filter((timestep) => timestep >= cutoff).length;
  if (count === 0) throw nothingLeft('denoisingEnd');
  return count;
}

/** The training timestep after a share of the noise is gone. */
function cutoffTimestep({ config }: Scheduler, share: number): number {
  const trainSteps = Number(config['num_train_timesteps']);
  return roundHalfEven(trainSteps - share * trainSteps);
}

function checkShare(field: string, share: number): void {
  if (!(share >= 0 && share <= 1))
    throw new OptionError(`${share} is not a share`, { field, remedy: 'Give a number from 0 to 1' });
}

function checkStart(field: string, start: number, { timesteps }: Scheduler): number {
  if (start >= timesteps.length) throw nothingLeft(field);
  return start;
}

function nothingLeft(field: string): OptionError {
  return new OptionError('it leaves no step to do', { field, remedy: 'Take more steps, or another value' });
}
