/** @file What a plan takes on a WebGPU device, in bytes of the buffers that compiling it makes. */

import { packedLength } from '../../kernels/packing.ts';
import type { PlanDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import type { StoredDType } from '../../tensor/dtype.ts';
import type { OpenDevice } from './device.ts';
import { planLaunches } from './recording.ts';
import { padded } from './tensor.ts';
import { weightUses } from './weight-uses.ts';
import { packingBytes, type WeightRequest } from './weights.ts';

/** What a matrix that is stored as float8 takes if it is held so. */
function float8Bytes(
  { weight, packing, shape }: WeightRequest,
  storedType: (tensor: string) => StoredDType,
): { readonly float8Bytes?: number } {
  return packing.kind !== 'int8' &&
    shape.length > 1 &&
    weight.parts.every(({ name }) => storedType(name) === 'F8_E4M3')
    ? { float8Bytes: padded(packedLength(packing, shape)) }
    : {};
}

/** See `Backend.demand`. */
export function demandOf(
  device: OpenDevice,
  plan: Plan,
  storedType: (tensor: string) => StoredDType,
): PlanDemand {
  const launches = planLaunches(plan, device);
  const weights = [...weightUses(plan, launches).values()];
  const arena = plan.arena.reduce((sum, bytes) => sum + padded(bytes), 0);
  return {
    workBytes: arena + launches.length * device.uniformAlignment,
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes: padded(bytes) })),
    weights: weights.map(({ request, ...demand }) => ({
      ...demand,
      ...float8Bytes(request, storedType),
    })),
    loadBytes: device.isSoftware ? 0 : packingBytes(weights.map(({ bytes }) => bytes)),
  };
}
