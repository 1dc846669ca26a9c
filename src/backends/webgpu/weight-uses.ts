/** @file Which weights a plan reads in which layouts, and where. */

import type { WeightDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import type { PlannedLaunch } from './recording.ts';
import { bufferBytes, requestKey, type WeightRequest } from './weights.ts';

/** A weight in one layout. */
export interface WeightUse extends WeightDemand {
  readonly request: WeightRequest;
}

/** All weights of a plan with its launches, by request. */
export function weightUses(plan: Plan, launches: readonly PlannedLaunch[]): Map<string, WeightUse> {
  const position = new Map(plan.dispatches.map((dispatch, i) => [dispatch, i]));
  const dispatches = new Map<string, Set<number>>();
  const requests = new Map<string, WeightRequest>();
  const use = (request: WeightRequest): Set<number> => {
    const key = requestKey(request);
    requests.set(key, request);
    const known = dispatches.get(key) ?? new Set();
    dispatches.set(key, known);
    return known;
  };
  for (const { dispatch, weights } of launches)
    for (const request of weights.values()) use(request).add(position.get(dispatch) ?? 0);
  for (const request of plainOutputs(plan).values()) use(request);
  return new Map(
    [...requests].map(([key, request]) => [
      key,
      {
        key,
        request,
        bytes: bufferBytes(request),
        dispatches: [...(dispatches.get(key) ?? [])].sort((a, b) => a - b),
      },
    ]),
  );
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
