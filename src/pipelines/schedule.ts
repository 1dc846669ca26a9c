/** @file The steps of a call: all of a schedule, or the part of it that its strength or its shares say. */

import type { Scheduler, StepCoefficients } from '../schedulers/scheduler.ts';
import { denoisingEndCount, denoisingStartIndex, strengthStart } from '../schedulers/start.ts';
import type { PipelineClass } from '../loaders/configs/model-index.ts';
import type { Task } from './options/image-options.ts';
import type { CheckedOptions } from './options/call-options.ts';
import { refuse } from './options/checks.ts';

/** A run's part of the schedule. */
export interface RunSchedule {
  /** Index of the timestep that it begins at. */
  readonly begin: number;
  readonly steps: readonly StepCoefficients[];
  /** Steps from there to the schedule's end: those, and what is left to another run (`denoisingEnd`). */
  readonly planned: number;
}

/** Sets a scheduler's timesteps for a call and gives the steps to take. Throws OptionError where none is left. */
export function scheduleRun(
  className: PipelineClass,
  task: Task,
  options: CheckedOptions,
  scheduler: Scheduler,
): RunSchedule {
  if (className === 'LatentConsistencyModelPipeline') setConsistencyTimesteps(task, options, scheduler);
  else setTimesteps(options, scheduler);
  const begin = className === 'LatentConsistencyModelPipeline' ? 0 : beginIndex(task, options, scheduler);
  const { eta, denoisingEnd } = options;
  const planned = scheduler.timesteps.length - begin;
  const count = denoisingEnd === undefined ? planned : denoisingEndCount(scheduler, denoisingEnd, begin);
  return { begin, steps: scheduler.steps({ eta, beginIndex: begin, count }), planned };
}

function setTimesteps({ timesteps, sigmas, numInferenceSteps }: CheckedOptions, scheduler: Scheduler): void {
  if (timesteps) scheduler.setTimesteps(undefined, { timesteps });
  else if (sigmas) scheduler.setTimesteps(undefined, { sigmas });
  else scheduler.setTimesteps(numInferenceSteps);
}

/** Latent consistency models take the strength as a shorter grid, of which the same number of steps is chosen. */
function setConsistencyTimesteps({ kind }: Task, options: CheckedOptions, scheduler: Scheduler): void {
  if (!scheduler.setGridTimesteps)
    refuse(
      'scheduler',
      'latent consistency models are sampled with LCMScheduler alone',
      'Assign LCMScheduler.fromConfig(pipe.scheduler.config), or load the model as StableDiffusionPipeline',
    );
  const { numInferenceSteps, timesteps, originalInferenceSteps, strength = 1 } = options;
  scheduler.setGridTimesteps(
    timesteps ? undefined : numInferenceSteps,
    { timesteps },
    { originalInferenceSteps, strength: kind === 'text' ? 1 : strength },
  );
}

/** Where the schedule begins: later for an image, by its strength, and for a run that takes over from another. */
function beginIndex(
  { kind }: Task,
  { strength, denoisingStart, numInferenceSteps, timesteps, sigmas }: CheckedOptions,
  scheduler: Scheduler,
): number {
  if (denoisingStart !== undefined) return denoisingStartIndex(scheduler, denoisingStart);
  if (kind === 'text' || strength === undefined) return 0;
  const count = (timesteps ?? sigmas) ? scheduler.timesteps.length : numInferenceSteps;
  return strengthStart(scheduler, count, strength);
}
