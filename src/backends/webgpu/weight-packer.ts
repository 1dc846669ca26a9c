/**
 * @file Packs weights on the device as they are loaded: stored tensors are uploaded as they are, and a kernel puts their
 * elements where another wants them. On the host that took 3 of the 9 seconds to SD1.5's first picture (H100).
 */

import { elementCount, fold } from '../../kernels/kernel.ts';
import { mergePlans, type MergeableWeight, type MergePlan } from '../../kernels/merge-low-rank.ts';
import type { Shader } from '../../kernels/wgsl.ts';
import type { StoredDType } from '../../tensor/dtype.ts';
import type { WeightReader } from '../backend.ts';
import { weightName } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { compilePipeline, type PipelineRequest } from './pipelines.ts';
import { padded } from './tensor.ts';
import { LARGE_BYTES, type UploadQueue } from './uploads.ts';
import type { WeightRequest } from './weights.ts';

/** What all weights of one packing and shape have in common. */
export interface PlanTables {
  readonly dims: GPUBuffer;
  readonly tables: GPUBuffer;
}

/** Packs a store's weights on its device. */
export class WeightPacker {
  readonly #device: OpenDevice;
  readonly #reader: WeightReader;
  readonly #uploads: UploadQueue;
  readonly #planOf = mergePlans(false);
  readonly #tables = new Map<MergePlan, Promise<PlanTables>>();

  constructor(device: OpenDevice, reader: WeightReader, uploads: UploadQueue) {
    this.#device = device;
    this.#reader = reader;
    this.#uploads = uploads;
  }

  /** How a weight is packed on the device; undefined where the host does it: small ones, and those that the shader cannot. */
  planFor(request: WeightRequest): MergePlan | undefined {
    const { weight, shape } = request;
    const stored = weight.parts.map(({ name }) => this.#reader.info(name).dtype);
    const mergeable = mergeableWeight(request, stored);
    const plan = this.#planOf(mergeable);
    return plan &&
      plan.baseBytes >= LARGE_BYTES &&
      plan.baseBytes <= this.#device.limits.maxBindingBytes &&
      mergeable.rows.every((rows) => ((plan.baseBytes / shape[0]) * rows) % 4 === 0)
      ? plan
      : undefined;
  }

  /** Begins to compile what a plan of `planFor` needs. */
  warm(plan: MergePlan, request: WeightRequest): void {
    compilePipeline(this.#device, pipelineOf(plan, request)).catch(() => undefined);
  }

  /** Reads a weight's parts and packs them into a buffer, once what is queued is submitted. */
  async pack(
    plan: MergePlan,
    request: WeightRequest,
    target: GPUBuffer,
    signal?: AbortSignal,
  ): Promise<void> {
    const { gpu, traits } = this.#device;
    const { dims, tables } = await this.#tablesOf(plan);
    const base = await this.#device.scoped(`weight "${weightName(request.weight)}" as stored`, () =>
      gpu.createBuffer({
        label: 'a weight as stored',
        size: padded(plan.baseBytes),
        usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
      }),
    );
    try {
      let offset = 0;
      for (const { name } of request.weight.parts) {
        signal?.throwIfAborted();
        const bytes = await this.#reader.read(name, signal);
        await this.#uploads.write(base, offset, bytes);
        offset += bytes.byteLength;
      }
      const { pipeline, layout } = await compilePipeline(this.#device, pipelineOf(plan, request));
      const group = bindByName(gpu, layout, plan.shader, {
        dims: { buffer: dims },
        base: { buffer: base },
        tables: { buffer: tables },
        packed: { buffer: target },
      });
      this.#uploads.add(
        (encoder) => {
          const pass = encoder.beginComputePass();
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(...fold(Math.ceil(plan.dims['blocks'] / 64), traits));
          pass.end();
        },
        () => base.destroy(),
      );
    } catch (error) {
      this.#uploads.submit();
      base.destroy();
      throw error;
    }
  }

  #tablesOf(plan: MergePlan): Promise<PlanTables> {
    const known = this.#tables.get(plan);
    if (known) return known;
    const made = makeTables(this.#device, plan);
    this.#tables.set(plan, made);
    this.#uploads.whenLeft(() => {
      this.#tables.delete(plan);
      made.then(destroyTables, () => undefined);
    });
    return made;
  }
}

/** Uploads what a plan's shader is told. */
export function makeTables(device: OpenDevice, plan: MergePlan): Promise<PlanTables> {
  const values = Uint32Array.from(plan.shader.dims.map((name) => plan.dims[name]));
  const filled = (data: Uint32Array<ArrayBuffer>, usage: number): GPUBuffer => {
    const size = padded(data.byteLength);
    const buffer = device.gpu.createBuffer({ label: 'tables', size, usage: usage | BUFFER_USAGE.COPY_DST });
    device.gpu.queue.writeBuffer(buffer, 0, data);
    return buffer;
  };
  return device.scoped('tables of packed weights', () => ({
    dims: filled(values, BUFFER_USAGE.UNIFORM),
    tables: filled(plan.tables, BUFFER_USAGE.STORAGE),
  }));
}

export function destroyTables({ dims, tables }: PlanTables): void {
  dims.destroy();
  tables.destroy();
}

/** A weight whose parts are stored in these types, as the shader gets to know it. */
export function mergeableWeight(
  { weight, shape, dtype, packing }: WeightRequest,
  stored: readonly StoredDType[],
): MergeableWeight {
  const rowLength = elementCount(shape.slice(1));
  const rows = weight.parts.map((part) => elementCount(part.shape) / rowLength);
  return { packing, shape, dtype, stored, rows };
}

function pipelineOf({ shader }: MergePlan, { weight }: WeightRequest): PipelineRequest {
  return { shader, kernel: 'merge-low-rank', node: weightName(weight) };
}

/** A bind group from ranges by the names that a shader gives them. */
export function bindByName(
  gpu: GPUDevice,
  layout: GPUBindGroupLayout,
  { bindings }: Shader,
  ranges: Readonly<Record<string, GPUBufferBinding>>,
): GPUBindGroup {
  return gpu.createBindGroup({
    layout,
    entries: bindings.map(({ name, index }) => ({ binding: index, resource: ranges[name] })),
  });
}
