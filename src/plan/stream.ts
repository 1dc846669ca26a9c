/**
 * @file Programs whose weights are not all on the device in the form that kernels read: those that are elsewhere come
 * through a ring of fixed slots, segment by segment, while the segment before computes. Pure, property-tested.
 *
 * Elsewhere is the host's memory, or the device's own, as float8. A step reads all weights once, in the same order, so
 * any choice of those that stay costs the same; they are spread evenly, so that copies and kernels alternate.
 */

import { sum, weightsOf, type PlanDemand, type WeightDemand } from './demand.ts';

/** Where weights are that do not stay on the device as kernels read them. */
export type WeightHold = 'host' | 'float8';

/** What becomes of a network's weights. */
export interface WeightPlacement {
  readonly hold: WeightHold;
  /** Keys of those that stay as kernels read them. */
  readonly resident: ReadonlySet<string>;
  readonly slotBytes: number;
  readonly slots: number;
}

/** Dispatches in a row that find their moving weights in one slot. */
export interface Segment {
  /** The first dispatch, and the first that is no longer part of it. */
  readonly from: number;
  readonly to: number;
  /** Where each moving weight begins in the slot, by its key. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** One slot is read while the other is filled. */
const SLOTS = 2;
/** Biases and scales stay: they save nothing. */
const SMALL_BYTES = 4096;
/** Slots larger than this make a plan's segments no quicker. */
const LARGE_SLOT_BYTES = 64 * 1024 * 1024;
/** Where weights begin in a slot: what devices ask of bindings, at most. */
const SLOT_ALIGNMENT = 256;

function align(bytes: number): number {
  return Math.ceil(bytes / SLOT_ALIGNMENT) * SLOT_ALIGNMENT;
}

/** Whether a weight can be elsewhere. */
function canMove({ bytes, float8Bytes, dispatches }: WeightDemand, hold: WeightHold): boolean {
  return bytes >= SMALL_BYTES && dispatches.length > 0 && (hold === 'host' || float8Bytes !== undefined);
}

/** What a weight that moves keeps on the device. */
function heldBytes({ float8Bytes = 0 }: WeightDemand, hold: WeightHold): number {
  return hold === 'float8' ? float8Bytes : 0;
}

/** The largest sum of what one dispatch needs in a slot. */
function leastSlot(programs: readonly PlanDemand[], hold: WeightHold): number {
  return Math.max(
    0,
    ...programs.map(({ weights }) => {
      const needs = new Map<number, number>();
      for (const weight of weights)
        if (canMove(weight, hold))
          for (const dispatch of weight.dispatches)
            needs.set(dispatch, (needs.get(dispatch) ?? 0) + align(weight.bytes));
      return Math.max(0, ...needs.values());
    }),
  );
}

/** The fewest bytes that the weights of a network's programs can take on the device. */
export function leastWeightBytes(programs: readonly PlanDemand[], hold: WeightHold): number {
  const held = sum(
    weightsOf(programs).map((weight) => (canMove(weight, hold) ? heldBytes(weight, hold) : weight.bytes)),
  );
  return held + SLOTS * leastSlot(programs, hold);
}

/**
 * Chooses which weights stay.
 * @param programs those of a network; the last one runs most often, and its weights stay before those of the others
 * @param capacity bytes for weights and slots, not less than `leastWeightBytes`
 */
export function placeWeights(
  programs: readonly PlanDemand[],
  hold: WeightHold,
  capacity: number,
): WeightPlacement {
  let spare = capacity - leastWeightBytes(programs, hold);
  const least = leastSlot(programs, hold);
  const slotBytes = Math.max(
    least,
    Math.min(LARGE_SLOT_BYTES, align(least + spare / (4 * SLOTS)) - SLOT_ALIGNMENT),
  );
  spare -= SLOTS * (slotBytes - least);
  const moving = weightsOf(programs).filter((weight) => canMove(weight, hold));
  const resident = new Set(
    weightsOf(programs).flatMap((weight) => (moving.includes(weight) ? [] : [weight.key])),
  );
  const often = weightsOf(programs.slice(-1))
    .filter((weight) => canMove(weight, hold))
    .toSorted((a, b) => a.dispatches[0] - b.dispatches[0]);
  const cost = (weight: WeightDemand): number => weight.bytes - heldBytes(weight, hold);
  const share = Math.min(1, spare / Math.max(1, sum(often.map(cost))));
  let saved = 0;
  for (const weight of often) {
    saved += share * cost(weight);
    if (saved < cost(weight) && share < 1) continue;
    saved -= cost(weight);
    resident.add(weight.key);
  }
  return { hold, resident, slotBytes, slots: SLOTS };
}

/** Bytes on the device that the weights of a network take when they are placed so. */
export function placedBytes(
  programs: readonly PlanDemand[],
  { hold, resident, slotBytes, slots }: WeightPlacement,
): number {
  const weights = weightsOf(programs).map((weight) =>
    resident.has(weight.key) ? weight.bytes : heldBytes(weight, hold),
  );
  return sum(weights) + slots * slotBytes;
}

/** Cuts a program into segments, in order, that cover all of its `dispatches`. */
export function segmentsOf(
  weights: readonly WeightDemand[],
  dispatches: number,
  { resident, slotBytes }: WeightPlacement,
): Segment[] {
  const moving = new Map<number, WeightDemand[]>();
  for (const weight of weights)
    if (!resident.has(weight.key))
      for (const dispatch of weight.dispatches)
        moving.set(dispatch, [...(moving.get(dispatch) ?? []), weight]);
  const segments: Segment[] = [];
  let from = 0;
  let offsets = new Map<string, number>();
  let bytes = 0;
  const close = (to: number): void => {
    if (to > from) segments.push({ from, to, offsets, bytes });
    from = to;
    offsets = new Map();
    bytes = 0;
  };
  for (let dispatch = 0; dispatch < dispatches; dispatch++) {
    const missing = (): WeightDemand[] => (moving.get(dispatch) ?? []).filter(({ key }) => !offsets.has(key));
    if (bytes + sum(missing().map((weight) => align(weight.bytes))) > slotBytes) close(dispatch);
    for (const weight of missing()) {
      offsets.set(weight.key, bytes);
      bytes += align(weight.bytes);
    }
  }
  close(dispatches);
  return segments;
}

/** What is held of the weights that move while a network is off the device: for each program where the host brings them, else once. */
export function hostHeldBytes(programs: readonly PlanDemand[], placement: WeightPlacement): number {
  if (placement.hold === 'host') return sum(programs.map((program) => movedBytes(program, placement)));
  const moving = weightsOf(programs).filter(({ key }) => !placement.resident.has(key));
  return sum(moving.map((weight) => heldBytes(weight, placement.hold)));
}

/** Bytes that go through the slots in one run of a program. */
export function movedBytes({ weights }: PlanDemand, { resident }: WeightPlacement): number {
  return sum(weights.filter(({ key }) => !resident.has(key)).map(({ bytes }) => bytes));
}
