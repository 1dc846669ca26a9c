/** @file Compiles a plan: loads its weights, gives its values addresses, and writes its launches. */

import { GraphError, KernelError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import { inputsOf, type Node } from '../../graph/ops.ts';
import type { Place, Plan, PlannedDispatch, PlannedValue } from '../../plan/plan.ts';
import type { CompileOptions } from '../backend.ts';
import { loadRequests } from '../weight-loading.ts';
import type { Engine } from './engine.ts';
import type { CpuContext, CpuLaunch, WeightType } from './kernel.ts';
import { kernelById } from './kernels/index.ts';
import { writeLaunches } from './launch-list.ts';
import type { Range } from './memory.ts';
import { PLAIN } from './packing.ts';
import { CpuProgram, type Recording } from './program.ts';
import { CPU_TARGET } from './target.ts';
import { CpuTensor, sharedTensor } from './tensor.ts';
import { CpuWeights, requestKey, type WeightRequest } from './weights.ts';

/** The weights a dispatch reads, by input name, in the layouts that its kernel wants. */
export interface BoundDispatch {
  readonly dispatch: PlannedDispatch;
  readonly weights: ReadonlyMap<string, WeightRequest>;
}

/** Compiles a plan; see `Backend.compile`. */
export async function compileProgram(
  engine: Engine,
  plan: Plan,
  options: CompileOptions,
): Promise<CpuProgram> {
  const { weights, signal } = options;
  if (plan.target !== CPU_TARGET.name || !(weights instanceof CpuWeights) || weights.engine !== engine)
    throw new GraphError('the plan or the weights are those of another backend', {
      file: `plan "${plan.name}"`,
      remedy: 'Plan for the target of the backend that compiles, and use its createWeights',
    });
  engine.check();
  const context = planContext(plan);
  const bound = plan.dispatches.map((dispatch) => bindWeights(plan, dispatch, context));
  const outputWeights = plainOutputs(plan);
  const requests = new Map(
    [...bound.flatMap((one) => [...one.weights.values()]), ...outputWeights.values()].map((request) => [
      requestKey(request),
      request,
    ]),
  );
  for (const request of requests.values()) weights.checkRequest(request);
  checkMemory(engine, plan, weights, requests, options);
  await loadRequests(requests, (request) => weights.load(request, signal), options);
  options.onProgress?.({ phase: 'kernels', done: 0, total: plan.dispatches.length });
  signal?.throwIfAborted();
  engine.check();

  const tensors = new Map<string, CpuTensor>();
  const ownTensors: CpuTensor[] = [];
  const ranges: Range[] = [];
  try {
    for (const tensor of plan.tensors) {
      const given = options.tensors?.get(tensor.name);
      const own = given ? undefined : new CpuTensor(engine, tensor);
      if (own) ownTensors.push(own);
      tensors.set(tensor.name, own ?? sharedTensor(engine, tensor, given!));
    }
    for (const [i, bytes] of plan.arena.entries())
      ranges.push(engine.memory.allocate(bytes + READ_AHEAD_BYTES, `arena ${i} of plan "${plan.name}"`));
    const arena = [...ranges];
    const addressAt = (place: Place): number => {
      const range =
        place.kind === 'arena'
          ? arena[place.buffer]
          : place.kind === 'external'
            ? tensors.get(place.tensor)?.range
            : outputWeights.has(place.index) && weights.rangeOf(outputWeights.get(place.index)!);
      if (range) return range.address + place.offset;
      throw new KernelError('the plan places a value in a range that it does not list', {
        file: `plan "${plan.name}"`,
        remedy: 'This is a bug in the planner',
      });
    };
    const record = (): Recording => {
      const launches = bound.flatMap((one, index) =>
        launchesOf(plan, one, context, (request) => weights.typeOf(request)).map((launch) => ({
          dispatch: index,
          launch,
          addressOf: (operand: string) => operandAddress(plan, one, operand, addressAt, weights),
        })),
      );
      const list = writeLaunches(engine, launches, `the launches of plan "${plan.name}"`);
      return { launches, list, layout: weights.layout };
    };
    const recording = record();
    options.onProgress?.({ phase: 'kernels', done: plan.dispatches.length, total: plan.dispatches.length });
    return new CpuProgram(
      { engine, plan, weights, record, arena, ranges, tensors, ownTensors, addressAt },
      recording,
    );
  } catch (error) {
    void engine.releaseLater(ranges);
    for (const tensor of ownTensors) tensor.dispose();
    throw error;
  }
}

/** Kernels may read so far past a value's end. */
export const READ_AHEAD_BYTES = 16;

export function planContext(plan: Plan): CpuContext {
  const valueOf = (id: ValueId): PlannedValue => {
    const value = plan.values.get(id);
    if (value) return value;
    throw new GraphError(`value ${id} has no place`, {
      file: `plan "${plan.name}"`,
      remedy: 'This is a bug in the planner',
    });
  };
  return { shapeOf: (id) => valueOf(id).shape, dtypeOf: (id) => valueOf(id).dtype };
}

export function bindWeights(plan: Plan, dispatch: PlannedDispatch, context: CpuContext): BoundDispatch {
  const { node, kernel } = dispatch;
  const packings = kernelById(kernel, node).packing(node, context);
  const weights = new Map<string, WeightRequest>();
  for (const [name, id] of inputsOf(node)) {
    const place = plan.values.get(id)?.place;
    if (place?.kind !== 'weight') continue;
    const weight = plan.weights[place.index];
    const whole = context.shapeOf(weight.value);
    const packing = packings[name] ?? PLAIN;
    if (packing.key !== PLAIN.key && place.offset > 0) throw bug(node, `wants a part of a weight packed`);
    // A reshaped weight is the same bytes: packings see the shape that the node sees, unless it sees a part.
    const shape = packing.key === PLAIN.key ? whole : context.shapeOf(id);
    weights.set(name, { weight, shape, half: context.dtypeOf(weight.value) === 'f16', packing });
  }
  return { dispatch, weights };
}

export function launchesOf(
  plan: Plan,
  { dispatch: { node, kernel, inPlace }, weights }: BoundDispatch,
  context: CpuContext,
  typeOf: (request: WeightRequest) => WeightType,
): CpuLaunch[] {
  return kernelById(kernel, node).launches(node, {
    ...context,
    inPlace,
    weightType(input) {
      const request = weights.get(input);
      if (request) return typeOf(request);
      throw bug(node, `has no weight ${input} in plan "${plan.name}"`);
    },
  });
}

/** The address behind an operand: an input, the output `y`, or `scratch0`, `scratch1`, ... */
function operandAddress(
  plan: Plan,
  { dispatch: { node, scratch }, weights }: BoundDispatch,
  operand: string,
  addressAt: (place: Place) => number,
  store: CpuWeights,
): number {
  const [, scratchIndex] = /^scratch(\d+)$/.exec(operand) ?? [];
  if (scratchIndex !== undefined) {
    const range = scratch[Number(scratchIndex)];
    if (!range) throw bug(node, `has no ${operand}`);
    return addressAt(range.place);
  }
  const id = operand === 'y' ? node.output : inputsOf(node).find(([name]) => name === operand)?.[1];
  if (id === undefined) return 0;
  const place = plan.values.get(id)?.place;
  if (!place) throw bug(node, `has no place for ${operand}`);
  const weight = weights.get(operand);
  return weight ? store.rangeOf(weight).address + place.offset : addressAt(place);
}

function bug(node: Node, problem: string): KernelError {
  return new KernelError(problem, {
    field: node.name,
    remedy: 'This is a bug in a kernel of the CPU backend',
  });
}

/** Weights that are outputs themselves, by index. */
export function plainOutputs(plan: Plan): Map<number, WeightRequest> {
  const requests = new Map<number, WeightRequest>();
  for (const { value } of plan.outputs) {
    const place = plan.values.get(value)?.place;
    if (place?.kind !== 'weight') continue;
    const weight = plan.weights[place.index];
    const stored = plan.values.get(weight.value);
    if (stored)
      requests.set(place.index, {
        weight,
        shape: stored.shape,
        half: stored.dtype === 'f16',
        packing: PLAIN,
      });
  }
  return requests;
}

/** Throws OutOfMemoryError, before anything is read, if a plan does not fit beside what is in memory. */
function checkMemory(
  engine: Engine,
  plan: Plan,
  weights: CpuWeights,
  requests: ReadonlyMap<string, WeightRequest>,
  options: CompileOptions,
): void {
  let bytes = 0;
  for (const request of requests.values()) bytes += weights.missingBytes(request);
  for (const size of plan.arena) bytes += size;
  for (const tensor of plan.tensors) if (!options.tensors?.has(tensor.name)) bytes += tensor.bytes;
  engine.memory.check(bytes, `plan "${plan.name}"`);
}
