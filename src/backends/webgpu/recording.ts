/**
 * @file A plan's dispatches as flat arrays, made once when a plan is compiled. Replaying them allocates nothing but the
 * encoder, the pass and the command buffer.
 *
 * A dispatch takes the host 5 us beside an H100, nearly all of it in Node's binding of Dawn: at least 1.6 us for the call that
 * dispatches, 1.9 for a bind group, 1.1 for a pipeline. Sizes as immediates instead of uniforms take 2.9 us more, and leave SD1.5's
 * step as long as it was (10.65 ms for 10.64).
 */

import { KernelError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import { kernelWithId } from '../../graph/kernel-table.ts';
import { inputsOf, type Node } from '../../graph/ops.ts';
import { bufferTypes, shaderOf } from '../../kernels/index.ts';
import { elementCount, type DeviceTraits, type KernelContext, type Launch } from '../../kernels/kernel.ts';
import type { Constant, Shader } from '../../kernels/wgsl.ts';
import type { Place, Plan, PlannedDispatch, PlannedValue } from '../../plan/plan.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { workOf } from './pace.ts';
import type { CompiledPipeline } from './pipelines.ts';
import { padded } from './tensor.ts';
import type { WeightRequest } from './weights.ts';

/** A launch of a node with everything decided but the buffers. */
export interface PlannedLaunch {
  readonly dispatch: PlannedDispatch;
  readonly launch: Launch;
  readonly shader: Shader;
  /** Weights that the launch binds, by the node's input name. */
  readonly weights: ReadonlyMap<string, WeightRequest>;
  /** See `workOf`; that of its node, since nodes with several launches have most of it in one. */
  readonly work: number;
}

/** What launches are made for. */
type KernelDevice = Pick<OpenDevice, 'traits' | 'kernels'>;

/** Launches by plan: plans are looked at, warmed up and compiled. */
const plannedBefore = new WeakMap<
  Plan,
  { readonly traits: DeviceTraits; readonly launches: readonly PlannedLaunch[] }
>();

/** All launches of a plan, in order. */
export function planLaunches(plan: Plan, device: KernelDevice): readonly PlannedLaunch[] {
  const { traits } = device;
  const known = plannedBefore.get(plan);
  if (known?.traits === traits) return known.launches;
  const launches = makeLaunches(plan, device);
  plannedBefore.set(plan, { traits, launches });
  return launches;
}

/**
 * The shaders of a plan. Launches with the same constants and types have the same text, which takes a millisecond to make;
 * there is one object for each text, since those of all launches would take megabytes.
 */
class ShaderTexts {
  readonly #byConstants = new Map<string, Shader>();
  readonly #byText = new Map<string, Shader>();

  of(launch: Launch, node: Node, context: KernelContext): Shader {
    const { name, constants, uniforms } = launch;
    const key = JSON.stringify([name, constants, uniforms, bufferTypes(launch, node, context)]);
    const known = this.#byConstants.get(key);
    if (known) return known;
    const made = shaderOf(launch, node, context);
    const shader = this.#byText.get(made.code) ?? made;
    this.#byText.set(made.code, shader);
    this.#byConstants.set(key, shader);
    return shader;
  }
}

function makeLaunches(plan: Plan, { traits, kernels }: KernelDevice): PlannedLaunch[] {
  const shaders = new ShaderTexts();
  return plan.dispatches.flatMap((dispatch) => {
    const { node } = dispatch;
    const kernel = kernelWithId('WebGPU', kernels, dispatch.kernel, node);
    const context: KernelContext = {
      traits,
      shapeOf: (value) => planned(plan, value, node).shape,
      dtypeOf: (value) => planned(plan, value, node).dtype,
      inPlace: dispatch.inPlace,
      variant: dispatch.variant,
    };
    if (!kernel.supports(node, context))
      throw bug(node, `was planned for kernel ${kernel.id}, which cannot run it on this device`);
    const packings = kernel.packing(node, context);
    const weights = new Map<string, WeightRequest>();
    for (const [name, value] of inputsOf(node)) {
      const { place, shape, dtype } = planned(plan, value, node);
      const packing = packings[name] ?? { kind: 'plain' };
      if (place.kind === 'weight') {
        if (dtype === 'i32') throw bug(node, `has an integer weight, ${name}`);
        const weight = plan.weights[place.index];
        // Plain weights are shared by everything that reads them, windows on them too; packed ones are made for this shape.
        const stored = packing.kind === 'plain' ? planned(plan, weight.value, node).shape : shape;
        if (elementCount(stored) !== elementCount(planned(plan, weight.value, node).shape))
          throw bug(node, `needs all of ${name}`);
        weights.set(name, { weight, shape: stored, dtype, packing });
      } else if (packing.kind !== 'plain') throw bug(node, `needs ${name} to be a stored weight`);
    }
    const work = workOf(node, (value) => planned(plan, value, node));
    return kernel.launches(node, context).map((launch): PlannedLaunch => ({
      work,
      dispatch,
      launch,
      shader: shaders.of(launch, node, context),
      weights,
    }));
  });
}

function planned(plan: Plan, value: ValueId, node: Node): PlannedValue {
  const found = plan.values.get(value);
  if (!found) throw bug(node, `uses value ${value}, which has no place`);
  return found;
}

function bug(node: Node, problem: string): KernelError {
  return new KernelError(`${node.kind} ${problem}`, {
    field: node.name,
    remedy: 'Plan for the target of the backend that compiles',
  });
}

/** Where buffers of a program are. */
export interface BufferSource {
  /** The buffer behind a place that is no weight. */
  bufferAt(place: Place): GPUBuffer;
  /** Where a dispatch finds a weight. */
  weightRange(request: WeightRequest, dispatch: PlannedDispatch): WeightRange;
}

/** A range of a buffer that holds a weight. */
export interface WeightRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Dispatches ready to be encoded. */
export interface Recording {
  readonly pipelines: readonly GPUComputePipeline[];
  readonly bindGroups: readonly GPUBindGroup[];
  /** Workgroups, three numbers a dispatch. */
  readonly workgroups: Uint32Array;
  /** What each launch is to the device; see `workOf`. */
  readonly work: Float64Array;
  /** Kernel of each launch, and which of the plan's dispatches it belongs to. */
  readonly names: readonly { readonly kernel: string; readonly dispatch: number }[];
  /** The `Dims` of all dispatches. */
  readonly uniforms: GPUBuffer | undefined;
}

/** Encodes launches of a recording: all, or those from one up to another. */
export function encodeDispatches(
  pass: GPUComputePassEncoder,
  { pipelines, bindGroups, workgroups }: Pick<Recording, 'pipelines' | 'bindGroups' | 'workgroups'>,
  from = 0,
  to = pipelines.length,
): void {
  let current: GPUComputePipeline | undefined;
  for (let i = from; i < to; i++) {
    const pipeline = pipelines[i];
    if (pipeline !== current) pass.setPipeline((current = pipeline));
    pass.setBindGroup(0, bindGroups[i]);
    pass.dispatchWorkgroups(workgroups[3 * i], workgroups[3 * i + 1], workgroups[3 * i + 2]);
  }
}

/** Makes bind groups and uniforms. Call inside `OpenDevice.scoped`. */
export function record(
  device: OpenDevice,
  plan: Plan,
  launches: readonly PlannedLaunch[],
  pipelines: readonly CompiledPipeline[],
  buffers: BufferSource,
): Recording {
  const uniforms = createUniforms(device, launches);
  try {
    const workgroups = new Uint32Array(launches.length * 3);
    const bindGroups = launches.map((planned, i) => {
      workgroups.set(planned.launch.workgroups, i * 3);
      return device.gpu.createBindGroup({
        label: `${planned.launch.name} of ${planned.dispatch.node.name}`,
        layout: pipelines[i].layout,
        entries: planned.shader.bindings.map(({ name, index }) => ({
          binding: index,
          resource:
            name === 'dims' ? dimsOf(uniforms, device, i, planned) : bindingOf(name, plan, planned, buffers),
        })),
      });
    });
    return {
      pipelines: pipelines.map(({ pipeline }) => pipeline),
      bindGroups,
      workgroups,
      work: Float64Array.from(launches, ({ work }) => work),
      names: launches.map(({ launch, dispatch }) => ({
        kernel: launch.name,
        dispatch: plan.dispatches.indexOf(dispatch),
      })),
      uniforms,
    };
  } catch (error) {
    uniforms?.destroy();
    throw error;
  }
}

function createUniforms(device: OpenDevice, launches: readonly PlannedLaunch[]): GPUBuffer | undefined {
  if (launches.length === 0) return undefined;
  const slot = device.uniformAlignment / 4;
  const data = new Uint32Array(launches.length * slot);
  const floats = new Float32Array(data.buffer);
  launches.forEach(({ shader, launch, dispatch }, i) => {
    shader.dims.forEach((name, member) => {
      const value: Constant | undefined = (launch.uniforms?.includes(name) ? launch.constants : launch.dims)[
        name
      ];
      if (typeof value === 'number') data[i * slot + member] = value;
      else if (typeof value === 'object' && 'float' in value) floats[i * slot + member] = value.float;
      else throw bug(dispatch.node, `has no value for ${name} of shader ${launch.name}`);
    });
  });
  const buffer = device.gpu.createBuffer({
    label: 'dims',
    size: data.byteLength,
    usage: BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
  });
  device.gpu.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

function dimsOf(
  uniforms: GPUBuffer | undefined,
  device: OpenDevice,
  index: number,
  { shader, dispatch }: PlannedLaunch,
): GPUBufferBinding {
  if (!uniforms) throw bug(dispatch.node, 'has no uniforms');
  return { buffer: uniforms, offset: index * device.uniformAlignment, size: padded(shader.dims.length * 4) };
}

/** The range behind a binding's name: an input, the output `y`, or `scratch0`, `scratch1`, ... */
function bindingOf(
  binding: string,
  plan: Plan,
  { dispatch, launch, weights }: PlannedLaunch,
  buffers: BufferSource,
): GPUBufferBinding {
  const { node, scratch } = dispatch;
  const name = launch.aliases?.[binding] ?? binding;
  const weight = weights.get(name);
  const whole = weight && buffers.weightRange(weight, dispatch);
  if (whole && weight.packing.kind !== 'plain') return whole;
  const [, scratchIndex] = /^scratch(\d+)$/.exec(name) ?? [];
  const value = name === 'y' ? node.output : inputsOf(node).find(([input]) => input === name)?.[1];
  const range =
    scratchIndex === undefined
      ? value !== undefined && planned(plan, value, node)
      : scratch[Number(scratchIndex)];
  if (!range || (range.place.kind === 'weight' && !weight)) throw bug(node, `has nothing to bind as ${name}`);
  const part = launch.ranges?.[name];
  return {
    buffer: whole ? whole.buffer : buffers.bufferAt(range.place),
    offset: (whole?.offset ?? 0) + range.place.offset + (part?.offset ?? 0),
    size: padded(part?.bytes ?? range.bytes),
  };
}
