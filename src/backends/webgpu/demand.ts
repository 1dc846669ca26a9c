/** @file What a plan takes on a WebGPU device, in bytes of the buffers that compiling it makes. */

import { packedLength } from '../../kernels/packing.ts';
import type { PlanDemand, WeightDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import type { StoredDType } from '../../tensor/dtype.ts';
import { plainOutputs } from './compile.ts';
import type { OpenDevice } from './device.ts';
import { planLaunches } from './recording.ts';
import { padded } from './tensor.ts';
import { bufferBytes, requestKey, type WeightRequest } from './weights.ts';

/** What a weight that is stored as float8 takes if it is held so. */
function float8Bytes(
  { weight, packing, shape }: WeightRequest,
  storedType: (tensor: string) => StoredDType,
): { readonly float8Bytes?: number } {
  return packing.kind !== 'int8' && weight.parts.every(({ name }) => storedType(name) === 'F8_E4M3')
    ? { float8Bytes: padded(packedLength(packing, shape)) }
    : {};
}

/** See `Backend.demand`. */
export function demandOf(
  device: OpenDevice,
  plan: Plan,
  storedType: (tensor: string) => StoredDType,
): PlanDemand {
  const launches = planLaunches(plan, device.traits);
  const position = new Map(plan.dispatches.map((dispatch, i) => [dispatch, i]));
  const uses = new Map<string, { readonly request: WeightRequest; readonly dispatches: Set<number> }>();
  const use = (request: WeightRequest): Set<number> => {
    const key = requestKey(request);
    const known = uses.get(key) ?? { request, dispatches: new Set() };
    uses.set(key, known);
    return known.dispatches;
  };
  for (const { dispatch, weights } of launches)
    for (const request of weights.values()) use(request).add(position.get(dispatch) ?? 0);
  for (const request of plainOutputs(plan).values()) use(request);
  const arena = plan.arena.reduce((sum, bytes) => sum + padded(bytes), 0);
  return {
    workBytes: arena + launches.length * device.uniformAlignment,
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes: padded(bytes) })),
    weights: [...uses].map(([key, { request, dispatches }]): WeightDemand => ({
      key,
      bytes: bufferBytes(request),
      ...float8Bytes(request, storedType),
      dispatches: [...dispatches].sort((a, b) => a - b),
    })),
    loadBytes: 0,
  };
}
