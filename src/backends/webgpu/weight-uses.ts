/** @file Which weights a plan reads in which layouts, and where. */

import type { WeightDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import { usesByKey } from '../weight-loading.ts';
import type { PlannedLaunch } from './recording.ts';
import { bufferBytes, requestKey, type WeightRequest } from './weights.ts';

/** A weight in one layout. */
export interface WeightUse extends WeightDemand {
  readonly request: WeightRequest;
}

/** All weights of a plan with its launches, by request. */
export function weightUses(plan: Plan, launches: readonly PlannedLaunch[]): Map<string, WeightUse> {
  const position = new Map(plan.dispatches.map((dispatch, i) => [dispatch, i]));
  const reads = launches.flatMap(({ dispatch, weights }) =>
    [...weights.values()].map((request) => [position.get(dispatch) ?? 0, request] as const),
  );
  const uses = usesByKey(reads, plainOutputs(plan).values(), requestKey);
  return new Map([...uses].map(([key, use]) => [key, { key, ...use, bytes: bufferBytes(use.request) }]));
}

/** Weights that are outputs themselves, by index. */
export function plainOutputs(plan: Plan): Map<number, WeightRequest> {
  const requests = new Map<number, WeightRequest>();
  for (const { value } of plan.outputs) {
    const place = plan.values.get(value)?.place;
    if (place?.kind !== 'weight') continue;
    const weight = plan.weights[place.index];
    const stored = plan.values.get(weight.value);
    if (stored && stored.dtype !== 'i32')
      requests.set(place.index, {
        weight,
        shape: stored.shape,
        dtype: stored.dtype,
        packing: { kind: 'plain' },
      });
  }
  return requests;
}
