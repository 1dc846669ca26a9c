/** @file From a plan to its launches and the weights they read: pure, and all that there is to a plan before a card. */

import { GraphError, KernelError } from 'calotype';
import {
  inputsOf,
  type Node,
  type Plan,
  type PlannedDispatch,
  type PlannedValue,
  usesByKey,
  type ValueId,
  type WeightUse,
} from 'calotype/backend-kit';
import { kernelById } from './kernels/index.ts';
import { PLAIN } from './kernels/packing.ts';
import type { CudaContext } from './kernel.ts';
import type { CudaLaunch } from './launch.ts';
import type { DeviceInfo } from './native.ts';
import { contextOf } from './target.ts';
import { requestKey, type WeightRequest } from './weights.ts';

/** A launch of a dispatch. */
export interface PlannedLaunch {
  /** Index in `plan.dispatches`. */
  readonly dispatch: number;
  readonly launch: CudaLaunch;
  /** The weights that the dispatch reads, by input name, in the layouts that its kernel wants. */
  readonly weights: ReadonlyMap<string, WeightRequest>;
}

/** All launches of a plan, in order. */
export function planLaunches(plan: Plan, device: DeviceInfo): PlannedLaunch[] {
  const context = contextOf(device, (id) => valueOf(plan, id));
  return plan.dispatches.flatMap(({ node, kernel }, dispatch) => {
    const weights = weightsOf(plan, plan.dispatches[dispatch], context);
    return kernelById(kernel, node)
      .launches(node, context)
      .map((launch) => ({ dispatch, launch, weights }));
  });
}

/** All weights of a plan, by the keys of their requests. */
export function weightUses(
  plan: Plan,
  launches: readonly PlannedLaunch[],
): Map<string, WeightUse<WeightRequest>> {
  const reads = launches.flatMap(({ dispatch, weights }) =>
    [...weights.values()].map((request) => [dispatch, request] as const),
  );
  return usesByKey(reads, outputWeights(plan).values(), requestKey);
}

/** Weights that are outputs themselves, by index. */
export function outputWeights(plan: Plan): Map<number, WeightRequest> {
  const requests = new Map<number, WeightRequest>();
  for (const { value } of plan.outputs) {
    const { place } = valueOf(plan, value);
    if (place.kind !== 'weight') continue;
    const weight = plan.weights[place.index];
    const { shape, dtype } = valueOf(plan, weight.value);
    if (dtype !== 'i32') requests.set(place.index, { weight, shape, dtype, packing: PLAIN });
  }
  return requests;
}

/** The place of an operand: an input, the output `y`, or `scratch0`, `scratch1`, ...; undefined for an absent input. */
export function operandPlace(plan: Plan, { node, scratch }: PlannedDispatch, operand: string) {
  const [, scratchIndex] = /^scratch(\d+)$/.exec(operand) ?? [];
  if (scratchIndex !== undefined) {
    const range = scratch[Number(scratchIndex)];
    if (range) return range.place;
    throw bug(node, `has no ${operand}`);
  }
  const id = operand === 'y' ? node.output : inputsOf(node).find(([name]) => name === operand)?.[1];
  return id === undefined ? undefined : valueOf(plan, id).place;
}

function weightsOf(
  plan: Plan,
  { node, kernel }: PlannedDispatch,
  context: CudaContext,
): Map<string, WeightRequest> {
  const packings = kernelById(kernel, node).packing(node, context);
  const weights = new Map<string, WeightRequest>();
  for (const [name, id] of inputsOf(node)) {
    const { place, dtype } = valueOf(plan, id);
    if (place.kind !== 'weight' || dtype === 'i32') continue;
    const weight = plan.weights[place.index];
    const packing = packings[name] ?? PLAIN;
    if (packing !== PLAIN && place.offset > 0) throw bug(node, 'wants a part of a weight packed');
    // A reshaped weight is the same bytes: packings see the shape that the node sees, unless it sees a part.
    const shape = context.shapeOf(packing === PLAIN ? weight.value : id);
    weights.set(name, { weight, shape, dtype, packing });
  }
  return weights;
}

function valueOf(plan: Plan, id: ValueId): PlannedValue {
  const value = plan.values.get(id);
  if (value) return value;
  throw new GraphError(`value ${id} has no place`, {
    file: `plan "${plan.name}"`,
    remedy: 'This is a bug in the planner',
  });
}

function bug(node: Node, problem: string): KernelError {
  return new KernelError(problem, {
    field: node.name,
    remedy: 'This is a bug in a kernel of the CUDA backend',
  });
}
