/**
 * @file Which training timesteps a schedule visits (table 2 of Lin et al., "Common diffusion noise schedules and
 * sample steps are flawed", 2023), and checks of what the caller asked for.
 */
import { OptionError } from '../errors.ts';
import { supported } from '../loaders/config.ts';
import { arange, linspace, roundHalfEven } from './arrays.ts';
import type { CustomSchedule } from './scheduler.ts';

/** Ways to space timesteps; schedulers differ in which is their default. */
export type TimestepSpacing = 'leading' | 'linspace' | 'trailing';

/** The `timestep_spacing` setting with a scheduler's default. */
export function spacingSetting(byDefault: TimestepSpacing) {
  return supported<TimestepSpacing>(byDefault, 'leading', 'linspace', 'trailing');
}

/** What `spaceTimesteps` goes by. */
export interface SpacingOptions {
  readonly spacing: TimestepSpacing;
  /** Number of training timesteps. */
  readonly trainSteps: number;
  /** Training timesteps to spread over, if the last ones are left out (`lambda_min_clipped`). */
  readonly lastStep?: number;
  readonly stepsOffset: number;
  /**
   * Whether 'leading' and 'linspace' place one timestep more and leave out the lowest, so that steps end short of
   * timestep 0. DPM-Solver and its kin count so; DDIM and Euler end on it.
   */
  readonly skipLowest: boolean;
}

/**
 * `count` timesteps, descending. 'linspace' gives fractions, which some schedulers round (`roundHalfEven`).
 * 'trailing' gives fewer than `count` where `lastStep` leaves no room. For some counts (61, 103, ...) diffusers adds a
 * timestep of -1 to it, by a rounding error of NumPy's `arange`; that one is left out here.
 */
export function spaceTimesteps(count: number, options: SpacingOptions): number[] {
  const { spacing, trainSteps, lastStep = trainSteps, stepsOffset, skipLowest } = options;
  const points = skipLowest ? count + 1 : count;
  const descending = (ascending: number[]): number[] => ascending.reverse().slice(0, count);
  if (spacing === 'trailing')
    return arange(lastStep, 0, -trainSteps / count)
      .slice(0, count)
      .map((t) => roundHalfEven(t) - 1);
  if (spacing === 'linspace') return descending(linspace(0, lastStep - 1, points));
  const ratio = Math.floor(lastStep / points);
  return descending(Array.from({ length: points }, (_, i) => i * ratio)).map((t) => t + stepsOffset);
}

/** Settings of timesteps (diffusers' names). */
interface SpacingConfig {
  readonly num_train_timesteps: number;
  readonly timestep_spacing: TimestepSpacing;
  readonly steps_offset: number;
}

/** `count` whole timesteps as DDIM and its kin place them, descending. */
export function wholeTimesteps(
  count: number,
  { num_train_timesteps: trainSteps, timestep_spacing: spacing, steps_offset: stepsOffset }: SpacingConfig,
): number[] {
  const options = { spacing, trainSteps, stepsOffset, skipLowest: false };
  return spaceTimesteps(count, options).map(roundHalfEven);
}

/** As `wholeTimesteps`, for solvers that end short of timestep 0. */
export function wholeTimestepsAboveZero(
  count: number,
  { num_train_timesteps: trainSteps, timestep_spacing: spacing, steps_offset: stepsOffset }: SpacingConfig,
  clipped = 0,
): number[] {
  const options = { spacing, trainSteps, lastStep: trainSteps - clipped, stepsOffset, skipLowest: true };
  return spaceTimesteps(count, options).map(roundHalfEven);
}

/** A schedule by number of steps or by timesteps, after checks. */
export type TimestepRequest =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'timesteps'; readonly timesteps: readonly number[] };

/** A schedule by noise levels, after checks. */
export interface SigmaRequest {
  readonly kind: 'sigmas';
  readonly sigmas: readonly number[];
}

/**
 * Checks the arguments of `setTimesteps` of a scheduler that takes custom timesteps and sigmas.
 *
 * @throws OptionError when not exactly one of the three is given, or when it makes no sense.
 */
export function scheduleRequest(
  numInferenceSteps: number | undefined,
  { timesteps, sigmas }: CustomSchedule,
  trainSteps: number,
): TimestepRequest | SigmaRequest {
  if (sigmas === undefined) return timestepRequest(numInferenceSteps, { timesteps }, trainSteps);
  checkExactlyOne(numInferenceSteps, timesteps, sigmas);
  checkDescending('sigmas', sigmas, 2, Number.MAX_VALUE);
  return { kind: 'sigmas', sigmas };
}

/** As `scheduleRequest`, for a scheduler that takes no sigmas. */
export function timestepRequest(
  numInferenceSteps: number | undefined,
  { timesteps, sigmas }: CustomSchedule,
  trainSteps: number,
): TimestepRequest {
  refuseCustom('sigmas', sigmas);
  checkExactlyOne(numInferenceSteps, timesteps);
  if (timesteps === undefined) return { kind: 'count', count: stepCount(numInferenceSteps, {}, trainSteps) };
  checkDescending('timesteps', timesteps, 1, trainSteps - 1);
  return { kind: 'timesteps', timesteps };
}

/**
 * Checks the arguments of `setTimesteps` of a scheduler that takes a number of steps only.
 *
 * @throws OptionError for a number that is none from 1 to `trainSteps`, and for a custom schedule.
 */
export function stepCount(
  numInferenceSteps: number | undefined,
  custom: CustomSchedule,
  trainSteps: number,
): number {
  refuseCustom('timesteps', custom.timesteps);
  refuseCustom('sigmas', custom.sigmas);
  const count = numInferenceSteps ?? 0;
  if (!Number.isInteger(count) || count < 1 || count > trainSteps)
    throw new OptionError(`${numInferenceSteps} is not a number of steps`, {
      field: 'numInferenceSteps',
      remedy: `Give a whole number from 1 to ${trainSteps}`,
    });
  return count;
}

function checkExactlyOne(...given: readonly unknown[]): void {
  if (given.filter((value) => value !== undefined).length !== 1)
    throw new OptionError('exactly one of the number of steps, timesteps and sigmas describes a schedule', {
      field: 'numInferenceSteps',
      remedy: 'Give one of them and leave the others out',
    });
}

/** Throws OptionError for a custom schedule of a kind that a scheduler does not take. */
function refuseCustom(field: 'timesteps' | 'sigmas', values: readonly number[] | undefined): void {
  if (values !== undefined)
    throw new OptionError('the scheduler does not take a schedule of this kind', {
      field,
      remedy: 'Leave it out, or choose EulerDiscreteScheduler, which takes timesteps and sigmas',
    });
}

function checkDescending(field: string, values: readonly number[], least: number, largest: number): void {
  const descends = values.every(
    (value, i) => value >= 0 && (i === 0 ? value <= largest : value < values[i - 1]),
  );
  if (values.length < least || !descends)
    throw new OptionError('the list is too short, does not descend, or is out of range', {
      field,
      remedy: `Give at least ${least} numbers from ${largest} down to 0, each smaller than the one before`,
    });
}
