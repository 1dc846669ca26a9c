/**
 * @file Rebuilds weights on the device from bases that stay there: a change of adapters uploads their factors, and
 * reads no files.
 */

import { OutOfMemoryError } from '../../errors.ts';
import { elementCount, fold } from '../../kernels/kernel.ts';
import { planMerge, type MergePlan } from '../../kernels/merge-low-rank.ts';
import type { LowRankSum, LowRankTerm } from '../backend.ts';
import { weightName } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { compilePipeline } from './pipelines.ts';
import { padded } from './tensor.ts';
import { bindByName } from './weight-packer.ts';
import type { WeightRequest } from './weights.ts';

/** Bytes of factors that wait to be used at a time. */
const TERMS_BYTES = 64 * 1024 * 1024;

/** A weight's base on the device. */
interface Base {
  readonly plan: MergePlan;
  readonly base: GPUBuffer;
  readonly tables: GPUBuffer;
}

/** A dispatch that is to be queued. */
interface Merge {
  readonly name: string;
  readonly base: Base;
  readonly target: GPUBuffer;
  readonly terms: Uint32Array<ArrayBuffer>;
}

/** The bases of a store's weights, and the work on them. */
export class WeightMerger {
  readonly #device: OpenDevice;
  readonly #bases = new Map<string, Base>();
  #merges: Merge[] = [];
  #mergedBytes = 0;
  #bytes = 0;

  constructor(device: OpenDevice) {
    this.#device = device;
  }

  /** Bytes of bases on the device. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Rebuilds a weight by the next `flush`; false where that has to be left to the host.
   * @param sums how the weight's parts come about
   */
  async add(
    key: string,
    request: WeightRequest,
    sums: readonly LowRankSum[],
    target: GPUBuffer,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const base = this.#bases.get(key) ?? (await this.#createBase(key, request, sums, signal));
    if (base === undefined) return false;
    const terms = packTerms(request, sums);
    if (terms.byteLength > Math.min(TERMS_BYTES, this.#device.limits.maxBindingBytes)) return false;
    if (this.#mergedBytes + terms.byteLength > TERMS_BYTES) await this.flush();
    this.#merges.push({ name: weightName(request.weight), base, target, terms });
    this.#mergedBytes += terms.byteLength;
    return true;
  }

  /** Queues what was added. */
  async flush(): Promise<void> {
    const merges = this.#merges.splice(0);
    this.#mergedBytes = 0;
    if (merges.length === 0) return;
    const { gpu } = this.#device;
    const pipelines = await Promise.all(
      merges.map(({ base, name }) =>
        compilePipeline(this.#device, { shader: base.plan.shader, kernel: 'merge-low-rank', node: name }),
      ),
    );
    await this.#device.scoped('the merging of adapters', () => {
      const alignment = Math.max(this.#device.limits.alignment, this.#device.uniformAlignment);
      const place = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
      const buffer = (size: number, usage: number): GPUBuffer =>
        gpu.createBuffer({ label: 'adapters', size, usage: usage | BUFFER_USAGE.COPY_DST });
      const all = merges.reduce((sum, { terms }) => sum + place(terms.byteLength), 0);
      const terms = buffer(all, BUFFER_USAGE.STORAGE);
      const dims = buffer(merges.length * alignment, BUFFER_USAGE.UNIFORM);
      const encoder = gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      let offset = 0;
      for (const [i, merge] of merges.entries()) {
        const { pipeline, layout } = pipelines[i];
        const { plan, base, tables } = merge.base;
        gpu.queue.writeBuffer(terms, offset, merge.terms);
        const values = plan.shader.dims.map((name) => plan.dims[name]);
        gpu.queue.writeBuffer(dims, i * alignment, Uint32Array.from(values));
        const group = bindByName(gpu, layout, plan.shader, {
          dims: { buffer: dims, offset: i * alignment, size: padded(values.length * 4) },
          base: { buffer: base },
          terms: { buffer: terms, offset, size: merge.terms.byteLength },
          tables: { buffer: tables },
          packed: { buffer: merge.target },
        });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...fold(Math.ceil(plan.dims['blocks'] / 64), this.#device.traits));
        offset += place(merge.terms.byteLength);
      }
      pass.end();
      gpu.queue.submit([encoder.finish()]);
      terms.destroy();
      dims.destroy();
    });
  }

  /** Frees the base of a weight that is its base again, or of all weights. Call it after `flush`. */
  release(key?: string): void {
    for (const [own, { plan, base, tables }] of this.#bases) {
      if (key !== undefined && key !== own) continue;
      base.destroy();
      tables.destroy();
      this.#bases.delete(own);
      this.#bytes -= plan.baseBytes;
    }
  }

  /** Uploads the base as it is stored; undefined where the shader cannot do the weight, or it does not fit. */
  async #createBase(
    key: string,
    { weight, shape, dtype, packing }: WeightRequest,
    sums: readonly LowRankSum[],
    signal: AbortSignal | undefined,
  ): Promise<Base | undefined> {
    const { gpu, limits } = this.#device;
    const rowLength = elementCount(shape.slice(1));
    const rows = weight.parts.map((part) => elementCount(part.shape) / rowLength);
    const plan = planMerge({ packing, shape, dtype, stored: sums.map((sum) => sum.dtype), rows }, true);
    if (plan === undefined || plan.baseBytes > limits.maxBindingBytes) return undefined;
    let buffers: readonly [GPUBuffer, GPUBuffer];
    try {
      buffers = await this.#device.scoped(`the base of weight "${weightName(weight)}"`, () => {
        const usage = BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST;
        return [
          gpu.createBuffer({ label: 'base', size: padded(plan.baseBytes), usage }),
          gpu.createBuffer({ label: 'tables', size: padded(plan.tables.byteLength), usage }),
        ] as const;
      });
    } catch (error) {
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    }
    const [base, tables] = buffers;
    try {
      let offset = 0;
      for (const sum of sums) {
        const bytes = await sum.readBase(signal);
        gpu.queue.writeBuffer(base, offset, wholeWords(bytes));
        offset += bytes.byteLength;
      }
    } catch (error) {
      base.destroy();
      tables.destroy();
      throw error;
    }
    gpu.queue.writeBuffer(tables, 0, plan.tables);
    const made = { plan, base, tables };
    this.#bases.set(key, made);
    this.#bytes += plan.baseBytes;
    return made;
  }
}

/** Bytes as queues take them: a multiple of 4. */
function wholeWords(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const words = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  words.set(bytes);
  return words;
}

/** The shader's `terms`: parts, terms, and factors. */
function packTerms({ weight, shape }: WeightRequest, sums: readonly LowRankSum[]): Uint32Array<ArrayBuffer> {
  const rowLength = elementCount(shape.slice(1));
  const terms = sums.flatMap((sum) => sum.terms);
  const factors = terms.map((term) => ({ up: interleaved(term, 'up'), down: interleaved(term, 'down') }));
  const head = sums.length + terms.length;
  const length = factors.reduce((sum, { up, down }) => sum + up.length + down.length, head * 4);
  const packed = new Uint32Array(length);
  const floats = new Float32Array(packed.buffer);
  let row = 0;
  let term = sums.length;
  for (const [part, sum] of sums.entries()) {
    packed.set([term, sum.terms.length, row], part * 4);
    term += sum.terms.length;
    row += elementCount(weight.parts[part].shape) / rowLength;
  }
  let at = head * 4;
  for (const [i, { up, down }] of factors.entries()) {
    const { rank, scale } = terms[i];
    const slot = (sums.length + i) * 4;
    packed.set([Math.ceil(rank / 4), at / 4, (at + up.length) / 4], slot);
    floats[slot + 3] = scale;
    floats.set(up, at);
    floats.set(down, at + up.length);
    at += up.length + down.length;
  }
  return packed;
}

const laidOut = new WeakMap<Float32Array, Float32Array>();

/** A factor with its rank innermost, padded with zeros to vectors of four; kept as long as its adapter is. */
function interleaved(term: LowRankTerm, which: 'up' | 'down'): Float32Array {
  const factor = term[which];
  const known = laidOut.get(factor);
  if (known) return known;
  const { rank } = term;
  const width = Math.ceil(rank / 4) * 4;
  const count = factor.length / rank;
  const result = new Float32Array(count * width);
  for (let i = 0; i < count; i++)
    for (let k = 0; k < rank; k++)
      result[i * width + k] = factor[which === 'up' ? i * rank + k : k * count + i];
  laidOut.set(factor, result);
  return result;
}
