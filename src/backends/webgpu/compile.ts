/** @file Compiles a plan: loads its weights, compiles its pipelines, makes its buffers, and records its dispatches. */

import { GraphError, KernelError } from '../../errors.ts';
import type { Place, Plan, PlannedDispatch } from '../../plan/plan.ts';
import type { WeightPlacement } from '../../plan/stream.ts';
import type { CompileOptions, CompileProgress, WeightStore } from '../backend.ts';
import { later } from '../../later.ts';
import { loadRequests } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { compilePipeline, type CompiledPipeline, type PipelineRequest } from './pipelines.ts';
import { WebGpuProgram } from './program.ts';
import { planLaunches, record, type PlannedLaunch, type Recording, type WeightRange } from './recording.ts';
import { targetName } from './target.ts';
import { padded, sharedTensor, WebGpuTensor } from './tensor.ts';
import { plainOutputs, weightUses } from './weight-uses.ts';
import { bufferBytes, requestKey, WebGpuWeights, type WeightRequest } from './weights.ts';

/** Compiles a plan; see `Backend.compile` and, for `recorded`, `WebGpuOptions`. */
export async function compileProgram(
  device: OpenDevice,
  plan: Plan,
  options: CompileOptions,
  recorded = true,
): Promise<WebGpuProgram> {
  const { weights, signal } = options;
  if (
    plan.target !== targetName(plan.dtype) ||
    !(weights instanceof WebGpuWeights) ||
    weights.device !== device
  )
    throw new GraphError('the plan or the weights are those of another backend', {
      file: `plan "${plan.name}"`,
      remedy: 'Plan for the target of the backend that compiles, and use its createWeights',
    });
  device.check();
  const planned = planLaunches(plan, device);
  // Before anything was measured nothing is known to be slow, and parts take pipelines of their own.
  const launches = device.pace.rate === undefined ? planned : await inParts(planned, device.pace.limit);
  const outputRequests = plainOutputs(plan);
  const uses = weightUses(plan, planned);
  for (const { request } of uses.values()) weights.checkRequest(request);
  const { placement, keepHeld = false } = options;
  const openStream = async (streamed: WeightPlacement) => {
    const { WeightStream } = await later('budgets of memory', () => import('./weight-stream.ts'));
    return WeightStream.open({ device, plan, weights, uses, placement: streamed, keepHeld });
  };
  const stream = placement && (await openStream(placement));
  const ownTensors: WebGpuTensor[] = [];
  const arena: GPUBuffer[] = [];
  const recordings: Recording[] = [];
  try {
    const load = async (request: WeightRequest): Promise<GPUBuffer | undefined> =>
      stream?.moves(requestKey(request))
        ? stream.put(request, signal).then(() => undefined)
        : weights.load(request, signal);
    const unique = new Map([...uses].map(([key, { request }]) => [key, request]));
    const [loaded, pipelines] = await loadAndCompile(device, weights, launches, unique, load, options);
    signal?.throwIfAborted();
    stream?.seal();
    if (stream) weights.streams.add(stream);
    return await device.scoped(`plan "${plan.name}"`, () => {
      const tensors = new Map<string, WebGpuTensor>();
      for (const tensor of plan.tensors) {
        const given = options.tensors?.get(tensor.name);
        const own = given ? undefined : new WebGpuTensor(device, tensor);
        if (own) ownTensors.push(own);
        tensors.set(tensor.name, own ?? sharedTensor(device, tensor, given!));
      }
      for (const [i, bytes] of plan.arena.entries())
        arena.push(
          device.gpu.createBuffer({
            label: `arena ${i} of ${plan.name}`,
            size: padded(bytes),
            usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST,
          }),
        );
      const position = new Map(plan.dispatches.map((dispatch, i) => [dispatch, i]));
      const weightRange = (request: WeightRequest, dispatch: PlannedDispatch): WeightRange => {
        const key = requestKey(request);
        const own = loaded.get(key);
        if (own) return { buffer: own, offset: 0, size: bufferBytes(request) };
        return stream!.rangeFor(key, position.get(dispatch)!)!;
      };
      const bufferAt = (place: Place): GPUBuffer => {
        const buffer =
          place.kind === 'arena'
            ? arena[place.buffer]
            : place.kind === 'external' && tensors.get(place.tensor)?.buffer;
        if (buffer) return buffer;
        throw new KernelError('the plan places a value in a buffer that it does not list', {
          file: `plan "${plan.name}"`,
          remedy: 'This is a bug in the planner',
        });
      };
      const recordNow = (): Recording => record(device, plan, launches, pipelines, { weightRange, bufferAt });
      const recordAgain = recorded ? undefined : recordNow;
      const outputWeights = new Map(
        [...outputRequests].map(([index, request]) => [index, loaded.get(requestKey(request))!]),
      );
      const recording = recordNow();
      recordings.push(recording);
      const parts = {
        device,
        plan,
        recording,
        recordAgain,
        arena,
        tensors,
        ownTensors,
        outputWeights,
        stream,
      };
      return new WebGpuProgram(parts);
    });
  } catch (error) {
    stream?.dispose();
    for (const { uniforms } of recordings) uniforms?.destroy();
    for (const buffer of arena) buffer.destroy();
    for (const tensor of ownTensors) tensor.dispose();
    throw error;
  }
}

/** Launches of no more work than a limit; what cuts them is loaded for slow devices. */
async function inParts(launches: readonly PlannedLaunch[], limit: number): Promise<readonly PlannedLaunch[]> {
  if (launches.every(({ work }) => work <= limit)) return launches;
  const { splitLaunches } = await later('slow GPUs', () => import('./launch-parts.ts'));
  return splitLaunches(launches, limit);
}

/** Loads weights while the driver compiles; progress is that of one and then of the other. */
async function loadAndCompile(
  device: OpenDevice,
  weights: WebGpuWeights,
  launches: readonly PlannedLaunch[],
  requests: ReadonlyMap<string, WeightRequest>,
  load: (request: WeightRequest) => Promise<GPUBuffer | undefined>,
  options: CompileOptions,
): Promise<[Map<string, GPUBuffer | undefined>, CompiledPipeline[]]> {
  const { onProgress } = options;
  let isLoading = true;
  let latest: CompileProgress | undefined;
  const compiling = compilePipelines(device, launches, {
    ...options,
    onProgress(progress) {
      latest = progress;
      if (!isLoading) onProgress?.(progress);
    },
  });
  // What is wrong with the weights is said first.
  compiling.catch(() => undefined);
  // Dawn takes 5 ms to say that it accepts a buffer: one after the other, SD1.5's thousand took 5 of the 13 seconds to its
  // first picture on an H100.
  const loaded = await weights.loading(() => loadRequests(requests, load, options, 'at once'));
  isLoading = false;
  if (latest) onProgress?.(latest);
  return [loaded, await compiling];
}

/** Begins to compile a plan's pipelines, those that pack its weights first; what goes wrong is said when they are needed. */
export function warmPipelines(device: OpenDevice, plan: Plan, weights: WeightStore): void {
  const launches = planLaunches(plan, device);
  if (weights instanceof WebGpuWeights)
    weights.warm([...weightUses(plan, launches).values()].map(({ request }) => request));
  for (const planned of differentShaders(launches).values())
    compilePipeline(device, pipelineRequest(planned)).catch(() => undefined);
}

/** A launch of each shader, by its text. */
function differentShaders(launches: readonly PlannedLaunch[]): Map<string, PlannedLaunch> {
  return new Map(launches.map((planned) => [planned.shader.code, planned]));
}

function pipelineRequest({ shader, launch, dispatch }: PlannedLaunch): PipelineRequest {
  return { shader, kernel: launch.name, node: dispatch.node.name };
}

/** Compiles all different shaders at once; the result has an entry for each launch. */
async function compilePipelines(
  device: OpenDevice,
  launches: readonly PlannedLaunch[],
  { signal, onProgress }: CompileOptions,
): Promise<CompiledPipeline[]> {
  const unique = differentShaders(launches);
  let done = 0;
  onProgress?.({ phase: 'kernels', done, total: unique.size });
  const compiled = new Map(
    await Promise.all(
      [...unique].map(async ([code, planned]): Promise<[string, CompiledPipeline]> => {
        const pipeline = await compilePipeline(device, pipelineRequest(planned));
        signal?.throwIfAborted();
        done++;
        onProgress?.({ phase: 'kernels', done, total: unique.size });
        return [code, pipeline];
      }),
    ),
  );
  return launches.map(({ shader }) => compiled.get(shader.code)!);
}
