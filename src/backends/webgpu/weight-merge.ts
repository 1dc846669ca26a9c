/**
 * @file Rebuilds weights on the device from bases and factors of adapters that stay there: a change of adapters uploads how
 * much of each counts, and no more. With factors uploaded anew by each change, SDXL's took 0.8 seconds at rank 64 (H100).
 */

import { OutOfMemoryError } from '../../errors.ts';
import { fold } from '../../kernels/kernel.ts';
import { mergePlans, type MergePlan } from '../../kernels/merge-low-rank.ts';
import { headVectors, layOutFactors, layOutHead, placeFactors, type FactorsPlace } from './merge-terms.ts';
import type { LowRankFactors, LowRankSum } from '../backend.ts';
import { weightName } from '../weight-loading.ts';
import type { ByteGate } from './byte-gate.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { compilePipeline, type CompiledPipeline } from './pipelines.ts';
import { padded } from './tensor.ts';
import type { UploadQueue } from './uploads.ts';
import { bindByName, destroyTables, makeTables, mergeableWeight, type PlanTables } from './weight-packer.ts';
import type { WeightRequest } from './weights.ts';

/** Bytes of a vector of the shader's `terms`. */
const VECTOR_BYTES = 16;

/** The shader's `terms` of a weight on the device: room for a head, and factors. */
interface Terms {
  readonly buffer: GPUBuffer;
  /** By their `up`: the same array as long as their adapter is loaded. */
  readonly places: ReadonlyMap<Float32Array, FactorsPlace>;
}

/** What of a weight is on the device besides itself. */
interface Kept {
  readonly plan: MergePlan;
  readonly compiled: CompiledPipeline;
  readonly base: GPUBuffer;
  readonly tables: PlanTables;
  terms: Terms | undefined;
  /** What binds all of it, until other terms come. */
  group: GPUBindGroup | undefined;
}

/** A dispatch that is to be queued. */
interface Merge {
  readonly kept: Kept;
  readonly target: GPUBuffer;
  readonly sums: readonly LowRankSum[];
}

/** What rebuilding weights needs of their store. */
export interface MergerOptions {
  readonly device: OpenDevice;
  readonly uploads: UploadQueue;
  /** For bytes that are read and laid out. */
  readonly gate: ByteGate;
}

/** The bases and adapters of a store's weights, and the work on them. */
export class WeightMerger {
  readonly #options: MergerOptions;
  readonly #planOf = mergePlans(true);
  readonly #tables = new Map<MergePlan, Promise<PlanTables>>();
  readonly #kept = new Map<string, Kept>();
  /** By the weights' keys. */
  readonly #merges = new Map<string, Merge>();
  #bytes = 0;

  constructor(options: MergerOptions) {
    this.#options = options;
  }

  /** Bytes that it keeps on the device. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Rebuilds a weight by the next `flush`, which comes when what was queued for uploading is submitted; false where that has
   * to be left to the host: the shader cannot do it, or there is no room.
   * @param sums how the weight's parts come about
   * @param keepBytes of all that it keeps, at most
   */
  async add(
    key: string,
    request: WeightRequest,
    sums: readonly LowRankSum[],
    target: GPUBuffer,
    { keepBytes, signal }: { readonly keepBytes: number; readonly signal?: AbortSignal | undefined },
  ): Promise<boolean> {
    const kept = this.#kept.get(key) ?? (await this.#createBase(key, request, sums, keepBytes, signal));
    if (kept === undefined || !(await this.#bringTerms(kept, sums, keepBytes))) return false;
    this.#merges.set(key, { kept, target, sums });
    return true;
  }

  /** Queues what was added, in one submit. */
  flush(): void {
    if (this.#merges.size === 0) return;
    const { gpu, traits } = this.#options.device;
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { kept, target, sums } of this.#merges.values()) {
      const { plan, compiled, terms } = kept;
      const head = layOutHead(plan, sums, ({ up }) => terms!.places.get(up)!);
      gpu.queue.writeBuffer(terms!.buffer, 0, head);
      pass.setPipeline(compiled.pipeline);
      pass.setBindGroup(0, (kept.group ??= this.#bind(kept, terms!, target)));
      pass.dispatchWorkgroups(...fold(Math.ceil(plan.dims['blocks'] / 64), traits));
    }
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    this.#merges.clear();
  }

  /**
   * Frees what weights keep for adapters that are no longer loaded. Call it after `flush`.
   * @param sumsOf how the parts of a weight come about now, by its key; undefined where that cannot be told
   */
  async trim(sumsOf: (key: string) => readonly LowRankSum[] | undefined): Promise<void> {
    for (const [key, kept] of this.#kept) {
      const loaded = factorsOf(sumsOf(key) ?? [], (sum) => sum.loaded);
      const ups = new Set(loaded.map(({ factors }) => factors.up));
      const places = kept.terms?.places ?? new Map<Float32Array, FactorsPlace>();
      if (ups.size === 0) this.release(key);
      else if ([...places.keys()].some((up) => !ups.has(up)))
        await this.#layOut(
          kept,
          loaded.filter(({ factors }) => places.has(factors.up)),
          Infinity,
        );
    }
  }

  /** Frees all that a weight keeps, or all weights. */
  release(key?: string): void {
    for (const own of key === undefined ? [...this.#kept.keys()] : [key]) {
      const kept = this.#kept.get(own);
      if (!kept) continue;
      kept.base.destroy();
      kept.terms?.buffer.destroy();
      this.#bytes -= kept.base.size + (kept.terms?.buffer.size ?? 0);
      this.#kept.delete(own);
      this.#merges.delete(own);
    }
    if (this.#kept.size > 0) return;
    for (const made of this.#tables.values()) made.then(destroyTables, () => undefined);
    this.#tables.clear();
  }

  #bind({ plan, compiled, base, tables }: Kept, terms: Terms, target: GPUBuffer): GPUBindGroup {
    return bindByName(this.#options.device.gpu, compiled.layout, plan.shader, {
      dims: { buffer: tables.dims },
      base: { buffer: base },
      terms: { buffer: terms.buffer },
      tables: { buffer: tables.tables },
      packed: { buffer: target },
    });
  }

  /** Uploads the base as it is stored; undefined where the shader cannot do the weight, or it does not fit. */
  async #createBase(
    key: string,
    request: WeightRequest,
    sums: readonly LowRankSum[],
    keepBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Kept | undefined> {
    const { device, gate, uploads } = this.#options;
    const stored = sums.map((sum) => sum.dtype);
    const plan = this.#planOf(mergeableWeight(request, stored));
    if (plan === undefined) return undefined;
    const base = await this.#reserve(plan.baseBytes, keepBytes, `the base of ${nameOf(request)}`);
    if (base === undefined) return undefined;
    try {
      const pipelineRequest = { shader: plan.shader, kernel: 'merge-low-rank', node: nameOf(request) };
      const [compiled, tables] = await Promise.all([
        compilePipeline(device, pipelineRequest),
        this.#tablesOf(plan),
      ]);
      await gate.hold(plan.baseBytes, async () => {
        let offset = 0;
        for (const sum of sums) {
          const bytes = await sum.readBase(signal);
          await uploads.write(base, offset, wholeWords(bytes));
          offset += bytes.byteLength;
        }
      });
      const kept = { plan, compiled, base, tables, terms: undefined, group: undefined };
      this.#kept.set(key, kept);
      return kept;
    } catch (error) {
      uploads.submit();
      base.destroy();
      this.#bytes -= base.size;
      throw error;
    }
  }

  #tablesOf(plan: MergePlan): Promise<PlanTables> {
    const made = this.#tables.get(plan) ?? makeTables(this.#options.device, plan);
    this.#tables.set(plan, made);
    return made;
  }

  /** Sees to it that the factors that are added are on the device, with those of other adapters if there is room. */
  async #bringTerms(kept: Kept, sums: readonly LowRankSum[], keepBytes: number): Promise<boolean> {
    const used = factorsOf(sums, (sum) => sum.terms);
    const { terms } = kept;
    if (terms && used.every(({ factors }) => terms.places.has(factors.up))) return true;
    return (
      (await this.#layOut(
        kept,
        factorsOf(sums, (sum) => sum.loaded),
        keepBytes,
      )) || this.#layOut(kept, used, keepBytes)
    );
  }

  /** Brings exactly these factors: those that are there are copied, others uploaded. False where there is no room. */
  async #layOut(kept: Kept, wanted: readonly PartFactors[], keepBytes: number): Promise<boolean> {
    const { uploads, gate } = this.#options;
    const { plan, terms: old } = kept;
    const places = new Map<Float32Array, FactorsPlace>();
    let end = headVectors(plan, wanted.length);
    for (const { part, factors } of wanted) {
      const place = placeFactors(plan, part, factors.rank, end);
      places.set(factors.up, place);
      end = place.end;
    }
    const buffer = await this.#reserve(
      end * VECTOR_BYTES,
      keepBytes + (old?.buffer.size ?? 0),
      'what adapters add to a weight',
    );
    if (buffer === undefined) return false;
    const byteRange = ({ up, end: last }: FactorsPlace): readonly [number, number] => [
      up * VECTOR_BYTES,
      (last - up) * VECTOR_BYTES,
    ];
    try {
      for (const { part, factors } of wanted) {
        if (old?.places.has(factors.up)) continue;
        const [offset, bytes] = byteRange(places.get(factors.up)!);
        await gate.hold(bytes, () =>
          uploads.write(buffer, offset, new Uint8Array(layOutFactors(plan, part, factors).buffer)),
        );
      }
    } catch (error) {
      uploads.submit();
      buffer.destroy();
      this.#bytes -= buffer.size;
      throw error;
    }
    kept.terms = { buffer, places };
    kept.group = undefined;
    if (!old) return true;
    this.#bytes -= old.buffer.size;
    uploads.add(
      (encoder) => {
        for (const [up, from] of old.places) {
          const to = places.get(up);
          if (to) encoder.copyBufferToBuffer(old.buffer, byteRange(from)[0], buffer, ...byteRange(to));
        }
      },
      () => old.buffer.destroy(),
    );
    return true;
  }

  /** A buffer that is kept, if there is room for it. */
  async #reserve(bytes: number, keepBytes: number, what: string): Promise<GPUBuffer | undefined> {
    const { device } = this.#options;
    const size = padded(bytes);
    if (size > device.limits.maxBindingBytes || this.#bytes + size > keepBytes) return undefined;
    this.#bytes += size;
    try {
      return await device.scoped(what, () =>
        device.gpu.createBuffer({
          label: what,
          size,
          usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST | BUFFER_USAGE.COPY_SRC,
        }),
      );
    } catch (error) {
      this.#bytes -= size;
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    }
  }
}

/** Factors of a layer of a part of a weight. */
interface PartFactors {
  readonly part: number;
  readonly factors: LowRankFactors;
}

/** What the parts of a weight have of some layers. */
function factorsOf(
  sums: readonly LowRankSum[],
  layersOf: (sum: LowRankSum) => readonly LowRankFactors[],
): PartFactors[] {
  return sums.flatMap((sum, part) => layersOf(sum).map((factors) => ({ part, factors })));
}

function nameOf({ weight }: WeightRequest): string {
  return `weight "${weightName(weight)}"`;
}

/** Bytes as they are uploaded: a multiple of 4. */
function wholeWords(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength % 4 === 0) return bytes;
  const words = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  words.set(bytes);
  return words;
}
