/** @file What a plan takes of a card's memory, in bytes of the ranges that compiling it takes. */

import { sum, type Plan, type PlanDemand, type StoredDType } from 'calotype/backend-kit';
import { planLaunches, weightUses, type PlannedLaunch } from './launches.ts';
import type { DeviceInfo } from './native.ts';
import { loadBytes, packedBytes } from './weights.ts';

/** See `Backend.demand`. */
export function demandOf(
  plan: Plan,
  device: DeviceInfo,
  storedType: (tensor: string) => StoredDType,
): PlanDemand {
  const launches = planLaunches(plan, device);
  const uses = [...weightUses(plan, launches)];
  return {
    workBytes: sum(plan.arena) + sum(constantsOf(launches).map(({ byteLength }) => byteLength)),
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes })),
    weights: uses.map(([key, { request, dispatches }]) => ({
      key,
      bytes: packedBytes(request),
      dispatches,
    })),
    // One after the other.
    loadBytes: Math.max(0, ...uses.map(([, { request }]) => loadBytes(request, storedType))),
  };
}

/** The arrays that launches read, each once. */
function constantsOf(launches: readonly PlannedLaunch[]): Float32Array[] {
  const operands = launches.flatMap(({ launch }) => Object.values(launch.args));
  return [
    ...new Set(
      operands.flatMap((operand) => (typeof operand === 'object' && 'data' in operand ? [operand.data] : [])),
    ),
  ];
}
