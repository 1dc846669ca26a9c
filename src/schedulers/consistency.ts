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
 * @throws OptionError as `timestepRequest`, and for more steps than the grid has.
 */
export function consistencyTimesteps(
  numInferenceSteps: number | undefined,
  custom: CustomSchedule,
  { num_train_timesteps: trainSteps, original_inference_steps: gridSteps }: ConsistencyConfig,
): number[] {
  const request = timestepRequest(numInferenceSteps, custom, trainSteps);
  if (request.kind === 'timesteps') return request.timesteps.map(Math.trunc);
  const { count } = request;
  if (count > gridSteps || gridSteps > trainSteps)
    throw new OptionError(`the model was distilled to a grid of ${gridSteps} timesteps`, {
      field: 'numInferenceSteps',
      remedy: `Take at most ${Math.min(gridSteps, trainSteps)} steps, or another originalInferenceSteps`,
    });
  const stride = Math.floor(trainSteps / gridSteps);
  const skip = gridSteps / count;
  return Array.from({ length: count }, (_, i) => (gridSteps - Math.floor(i * skip)) * stride - 1);
}
