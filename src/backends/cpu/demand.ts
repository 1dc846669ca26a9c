/** @file What a plan takes of the CPU backend's memory, in bytes of the ranges that compiling it takes. */

import type { PlanDemand, WeightDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import { STORED_DTYPES, type StoredDType } from '../../tensor/dtype.ts';
import { usesByKey } from '../weight-loading.ts';
import { bindWeights, launchesOf, plainOutputs, planContext, READ_AHEAD_BYTES } from './compile.ts';
import { ALIGNMENT, elementCount } from './kernel.ts';
import { launchListBytes } from './launch-list.ts';
import { MAX_PENDING_BYTES, packedBytes, packedType, requestKey, type WeightRequest } from './weights.ts';

function aligned(bytes: number): number {
  return Math.ceil(Math.max(bytes, 1) / ALIGNMENT) * ALIGNMENT;
}

/** See `Backend.demand`. */
export function demandOf(plan: Plan, storedType: (tensor: string) => StoredDType): PlanDemand {
  const context = planContext(plan);
  const bound = plan.dispatches.map((dispatch) => bindWeights(plan, dispatch, context));
  const reads = bound.flatMap(({ weights }, i) =>
    [...weights.values()].map((request) => [i, request] as const),
  );
  const uses = usesByKey(reads, plainOutputs(plan).values(), requestKey);
  const typeOf = (request: WeightRequest) => packedType(request, storedType);
  const launches = bound.flatMap((one) => launchesOf(plan, one, context, typeOf));
  const arena = plan.arena.reduce((sum, bytes) => sum + aligned(bytes + READ_AHEAD_BYTES), 0);
  const parts = new Map(
    [...uses.values()].flatMap(({ request }) =>
      request.weight.parts.map(({ name, shape }): [string, number] => [
        name,
        elementCount(shape) * Math.max(STORED_DTYPES[storedType(name)], 0),
      ]),
    ),
  );
  const stored = [...parts.values()];
  const pending = Math.min(
    MAX_PENDING_BYTES,
    stored.reduce((sum, bytes) => sum + bytes, 0),
  );
  return {
    workBytes: arena + aligned(launchListBytes(launches)),
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes: aligned(bytes) })),
    weights: [...uses].map(([key, { request, dispatches }]): WeightDemand => ({
      key,
      bytes: aligned(packedBytes(request, typeOf(request))),
      dispatches,
    })),
    loadBytes: pending + Math.max(0, ...stored),
  };
}
