/** @file What a plan takes on a WebGPU device, in bytes of the buffers that compiling it makes. */

import { packedLength } from '../../kernels/packing.ts';
import { sum, type PlanDemand } from '../../plan/demand.ts';
import type { Plan } from '../../plan/plan.ts';
import type { StoredDType } from '../../tensor/dtype.ts';
import type { OpenDevice } from './device.ts';
import { allocatedBytes } from './metered.ts';
import { planLaunches } from './recording.ts';
import { padded } from './tensor.ts';
import { weightUses } from './weight-uses.ts';
import { LARGE_BYTES, STAGING_BUFFERS, STAGING_BYTES } from './uploads.ts';
import { MAX_HELD_BYTES, type WeightRequest } from './weights.ts';

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

/** Bytes of weights as they are stored that the device may hold while it packs them: what is read, and what waits in its queue. */
function packingBytes(weights: readonly number[]): number {
  const large = weights.filter((bytes) => bytes >= LARGE_BYTES);
  return Math.max(0, ...large) + Math.min(2 * MAX_HELD_BYTES, sum(large));
}

/** Bytes of all staging buffers at most, where no write is larger than `largest`. */
function stagingBytes(largest: number): number {
  return STAGING_BUFFERS * Math.min(STAGING_BYTES, largest);
}

/** See `Backend.demand`. */
export function demandOf(
  device: OpenDevice,
  plan: Plan,
  storedType: (tensor: string) => StoredDType,
): PlanDemand {
  const launches = planLaunches(plan, device);
  const weights = [...weightUses(plan, launches).values()];
  const allocated = (bytes: number): number => allocatedBytes(device, padded(bytes));
  const arena = sum(plan.arena.map(allocated));
  const sizes = weights.map(({ bytes }) => bytes);
  return {
    workBytes: arena + allocated(launches.length * device.uniformAlignment),
    tensors: plan.tensors.map(({ name, bytes }) => ({ name, bytes: allocated(bytes) })),
    weights: weights.map(({ request, ...demand }) => ({
      ...demand,
      bytes: allocated(demand.bytes),
      ...float8Bytes(request, storedType),
    })),
    loadBytes:
      (device.isSoftware ? 0 : packingBytes(sizes)) +
      (device.mappedMemory === 'device' ? stagingBytes(Math.max(0, ...sizes)) : 0),
  };
}
