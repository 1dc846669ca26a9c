/** @file Compiles a plan: loads its weights, gives its values addresses, and records its launches into a graph. */

import { GraphError, KernelError } from 'calotype';
import { loadRequests, type CompileOptions, type Place, type Plan } from 'calotype/backend-kit';
import type { OpenDevice, Range } from './device.ts';
import type { BoundLaunch } from './launch.ts';
import { operandPlace, outputWeights, planLaunches, weightUses, type PlannedLaunch } from './launches.ts';
import { CudaProgram } from './program.ts';
import { targetName } from './target.ts';
import { CudaTensor, sharedTensor } from './tensor.ts';
import type { TileTuner } from './tile-tuner.ts';
import { CudaWeights, requestKey, type WeightRequest } from './weights.ts';

/** Compiles a plan; see `Backend.compile`. Without a tuner, products that were not measured get the tiles of a model. */
export async function compileProgram(
  device: OpenDevice,
  plan: Plan,
  options: CompileOptions,
  tuner: TileTuner | undefined,
): Promise<CudaProgram> {
  const { weights, signal } = options;
  if (
    plan.target !== targetName(plan.dtype) ||
    !(weights instanceof CudaWeights) ||
    weights.device !== device
  )
    throw new GraphError('the plan or the weights are those of another backend', {
      file: `plan "${plan.name}"`,
      remedy: 'Plan for the target of the backend that compiles, and use its createWeights',
    });
  device.check();
  const launches = planLaunches(plan, device.info);
  const outputs = outputWeights(plan);
  const requests = new Map([...weightUses(plan, launches)].map(([key, { request }]) => [key, request]));
  for (const request of requests.values()) weights.checkRequest(request);
  const loaded = await loadRequests(requests, (request) => weights.load(request, signal), options);
  options.onProgress?.({ phase: 'kernels', done: 0, total: launches.length });
  signal?.throwIfAborted();

  const ranges: Range[] = [];
  const ownTensors: CudaTensor[] = [];
  try {
    const tensors = new Map<string, CudaTensor>();
    for (const tensor of plan.tensors) {
      const given = options.tensors?.get(tensor.name);
      const own = given ? undefined : new CudaTensor(device, tensor);
      if (own) ownTensors.push(own);
      tensors.set(tensor.name, own ?? sharedTensor(device, tensor, given!));
    }
    for (const [i, bytes] of plan.arena.entries())
      ranges.push(device.allocate(bytes, `arena ${i} of plan "${plan.name}"`));
    const arena = [...ranges];
    const weightRange = (request: WeightRequest): Range => loaded.get(requestKey(request))!;
    const addressAt = (place: Place): bigint => {
      const range =
        place.kind === 'arena'
          ? arena[place.buffer]
          : place.kind === 'external'
            ? tensors.get(place.tensor)?.range
            : outputs.has(place.index) && weightRange(outputs.get(place.index)!);
      if (range) return range.address + BigInt(place.offset);
      throw new KernelError('the plan places a value in a range that it does not list', {
        file: `plan "${plan.name}"`,
        remedy: 'This is a bug in the planner',
      });
    };
    // Launches that name the same array share it.
    const constants = new Map<Float32Array, bigint>();
    const constant = (data: Float32Array): bigint => {
      const known = constants.get(data);
      if (known !== undefined) return known;
      const range = device.allocate(data.byteLength, `a constant of plan "${plan.name}"`);
      ranges.push(range);
      device.write(range.address, data, `a constant of plan "${plan.name}"`);
      constants.set(data, range.address);
      return range.address;
    };
    const bind = ({ dispatch, launch, weights: read }: PlannedLaunch): BoundLaunch => ({
      launch,
      node: plan.dispatches[dispatch].node.name,
      addressOf(operand) {
        const place = operandPlace(plan, plan.dispatches[dispatch], operand);
        const weight = read.get(operand);
        if (!place) return 0n;
        return weight ? weightRange(weight).address + BigInt(place.offset) : addressAt(place);
      },
      constant,
    });
    // A tensor that others made may already hold what must stay.
    const mayRun = (index: number): boolean => {
      const place = operandPlace(plan, plan.dispatches[launches[index].dispatch], 'y');
      return !(place?.kind === 'external' && options.tensors?.has(place.tensor));
    };
    const bound = launches.map(bind);
    const list = device.encode(tuner ? await tuner.choose(bound, mayRun, signal) : bound);
    const graph = device.record(list, `plan "${plan.name}"`);
    options.onProgress?.({ phase: 'kernels', done: launches.length, total: launches.length });
    return new CudaProgram({
      device,
      plan,
      launches,
      list,
      graph,
      arena,
      ranges,
      tensors,
      ownTensors,
      addressAt,
    });
  } catch (error) {
    for (const range of ranges) device.release(range);
    for (const tensor of ownTensors) tensor.dispose();
    throw error;
  }
}
