/**
 * @file The timesteps of models distilled to few steps (LCM, TCD), which were trained on a coarse grid of them.
 */
import { OptionError } from '../errors.ts';
import type { CustomSchedule } from './scheduler.ts';
import { timestepRequest } from './spacing.ts';

/** Settings of the grid (diffusers' names). */
interface ConsistencyConfig {
  readonly num_train_timesteps: number;
  readonly original_inference_steps: number;
}

/**
 * Timesteps of a schedule: custom ones (cut down to whole numbers), or a number of them evenly from the grid.
 *
 * @param strength the share of the grid, or of custom timesteps, that is used: the later part of it.
 * @throws OptionError as `timestepRequest`, and for more steps than the grid has.
 */
export function consistencyTimesteps(
  numInferenceSteps: number | undefined,
  custom: CustomSchedule,
  { num_train_timesteps: trainSteps, original_inference_steps: fullSteps }: ConsistencyConfig,
  strength = 1,
): number[] {
  const request = timestepRequest(numInferenceSteps, custom, trainSteps);
  if (request.kind === 'timesteps') {
    const left = Math.trunc(request.timesteps.length * strength);
    return request.timesteps.slice(request.timesteps.length - left).map(Math.trunc);
  }
  const gridSteps = Math.trunc(fullSteps * strength);
  const { count } = request;
  if (count > gridSteps || fullSteps > trainSteps)
    throw new OptionError(`there is a grid of ${gridSteps} timesteps to choose from`, {
      field: 'numInferenceSteps',
      remedy: `Take at most ${Math.min(gridSteps, trainSteps)} steps, or another originalInferenceSteps or strength`,
    });
  const stride = Math.floor(trainSteps / fullSteps);
  const skip = gridSteps / count;
  return Array.from({ length: count }, (_, i) => (gridSteps - Math.floor(i * skip)) * stride - 1);
}
