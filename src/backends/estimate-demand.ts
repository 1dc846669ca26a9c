/** @file What a plan takes on a backend that does not tell: its values as the plan has them. */

import type { PlanDemand } from '../plan/demand.ts';
import type { Plan } from '../plan/plan.ts';

/** A plan's arena, tensors and weights, without what a backend adds by packing and recording. */
export function estimateDemand(plan: Plan): PlanDemand {
  const dispatches = new Map<number, number[]>();
  for (const [i, { node }] of plan.dispatches.entries())
    for (const id of Object.values(node.inputs)) {
      const place = typeof id === 'number' ? plan.values.get(id)?.place : undefined;
      if (place?.kind === 'weight') dispatches.set(place.index, [...(dispatches.get(place.index) ?? []), i]);
    }
  return {
    workBytes: plan.arena.reduce((sum, bytes) => sum + bytes, 0),
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes })),
    weights: plan.weights.map(({ value, parts }, index) => ({
      key: JSON.stringify(parts.map(({ name }) => name)),
      bytes: plan.values.get(value)?.bytes ?? 0,
      dispatches: dispatches.get(index) ?? [],
    })),
    loadBytes: 0,
  };
}
