/**
 * @file Autotuning on a device: candidates of a plan's nodes run in buffers of noise, some times in a row. Rows that were
 * measured before, here or by us on a known adapter, are not measured again.
 */

import { KernelError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import { speedsOf } from '../../kernels/cost.ts';
import type { KernelContext } from '../../kernels/kernel.ts';
import { SHIPPED_ROWS } from '../../kernels/shipped-rows.ts';
import type { Candidate } from '../../kernels/selection.ts';
import { tune, tuningJobs, type TuningJob } from '../../kernels/tuning.ts';
import type { Place, Plan, PlannedValue } from '../../plan/plan.ts';
import { openTuningStore, type TuningStore } from '../../platform/tuning-store.ts';
import type { WebGpuOptions } from './acquire.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { workOf } from './pace.ts';
import { compilePipeline } from './pipelines.ts';
import { planLaunches, record, type BufferSource, type Recording, type WeightRange } from './recording.ts';
import { timeRepeats } from './stopwatch.ts';
import { encodeElements, padded } from './tensor.ts';
import { bufferBytes, type WeightRequest } from './weights.ts';

/** Longest that one measurement may take, in milliseconds. */
const MEASUREMENT_MS = 3;
const MOST_REPEATS = 50;

/** Milliseconds that all measurements of a backend may take together, if nothing else is said. */
const BUDGET_MS = 4000;

/** What is known to run fastest on a device: rows that come with the library, that were kept, and that it measures. */
export class Tuner {
  /** Candidates' names by tuning key. */
  readonly rows: Map<string, string>;
  readonly #device: OpenDevice;
  readonly #store: TuningStore;
  #budgetMs: number;

  private constructor(device: OpenDevice, rows: Map<string, string>, store: TuningStore, budgetMs: number) {
    this.#device = device;
    this.rows = rows;
    this.#store = store;
    this.#budgetMs = budgetMs;
  }

  /**
   * Rows that were measured here come before those that were shipped.
   * @param wish whether to measure more, or for how long; undefined: where the library ships none for this adapter
   */
  static async open(device: OpenDevice, wish: WebGpuOptions['autotune']): Promise<Tuner> {
    const { description, vendor, architecture } = device;
    const store = await openTuningStore(description);
    const names = [vendor, architecture, description].join(' ');
    const shipped = SHIPPED_ROWS.find(({ adapter }) => adapter.test(names));
    const rows = new Map(Object.entries({ ...shipped?.rows, ...(await store.read()) }));
    const budgetMs = typeof wish === 'object' ? 1000 * wish.seconds : (wish ?? !shipped) ? BUDGET_MS : 0;
    return new Tuner(device, rows, store, budgetMs);
  }

  /** Whether it will measure no more. */
  get isDone(): boolean {
    return this.#budgetMs <= 0;
  }

  /** Measures nodes of a plan that have no row, until the signal is aborted; whether there are new rows. */
  async tune(plan: Plan, without: ReadonlySet<string>, signal?: AbortSignal): Promise<boolean> {
    if (this.#budgetMs <= 0) return false;
    const begin = performance.now();
    const device = this.#device;
    const nodes = plan.dispatches.map(({ node, inPlace }) => ({
      node,
      context: contextOf(device, plan, inPlace),
    }));
    const jobs = tuningJobs(nodes, speedsOf(device.vendor), { kernels: device.kernels, without }, this.rows);
    if (jobs.length === 0) return false;
    const buffers = new NoiseBuffers(device, plan);
    try {
      if (device.pace.rate === undefined && device.pace.limit < Infinity)
        await learnPace(device, plan, buffers, jobs, this.#budgetMs);
      const found = await tune(jobs, {
        measure: (job, candidate, leftMs) => measure(device, plan, buffers, job, candidate, leftMs),
        // What was found by then is kept.
        now: () => (signal?.aborted === true ? Infinity : performance.now()),
        budgetMs: this.#budgetMs - (performance.now() - begin),
      });
      for (const [key, row] of found) this.rows.set(key, row);
      if (found.size > 0) await this.#store.write(this.rows);
      return found.size > 0;
    } finally {
      buffers.dispose();
      this.#budgetMs -= performance.now() - begin;
    }
  }
}

function contextOf({ traits }: OpenDevice, plan: Plan, inPlace: string | undefined): KernelContext {
  const valueOf = (id: ValueId): PlannedValue => plan.values.get(id)!;
  return {
    traits,
    shapeOf: (id) => valueOf(id).shape,
    dtypeOf: (id) => valueOf(id).dtype,
    inPlace,
  };
}

/** Learns how fast a device is by the heaviest node that even the slowest would be done with in time. */
async function learnPace(
  device: OpenDevice,
  plan: Plan,
  buffers: NoiseBuffers,
  jobs: readonly TuningJob[],
  leftMs: number,
): Promise<void> {
  const valueOf = (id: ValueId): PlannedValue => plan.values.get(id)!;
  for (const job of jobs) {
    const work = workOf(job.node, valueOf);
    if (work > device.pace.limit) continue;
    const ms = await measure(device, plan, buffers, job, job.candidates[0], leftMs);
    if (typeof ms === 'number') device.pace.learn(work, ms);
    return;
  }
}

/** Milliseconds of a candidate; undefined if the device cannot run it, `late` if the driver takes longer than is left to compile it. */
async function measure(
  device: OpenDevice,
  plan: Plan,
  buffers: NoiseBuffers,
  { node, context }: TuningJob,
  { kernel, variant }: Candidate,
  leftMs: number,
): Promise<number | 'late' | undefined> {
  const scratch = kernel.scratchBytes(node, { ...context, variant }).map((bytes, i) => ({
    bytes,
    place: { kind: 'external', tensor: `${SCRATCH}${i}`, offset: 0 } as const,
  }));
  if (scratch.some(({ bytes }) => bytes > device.limits.maxBindingBytes)) return undefined;
  const planned = plan.dispatches.find((dispatch) => dispatch.node === node)!;
  const chosen = { ...planned, kernel: kernel.id, scratch };
  const dispatches = [variant === undefined ? chosen : { ...chosen, variant }];
  const alone: Plan = { ...plan, dispatches };
  const made: Recording[] = [];
  try {
    const launches = planLaunches(alone, device);
    // What would hold the device for too long is not measured; there the kernels' own choice stays.
    if (launches.some(({ work }) => work > device.pace.limit)) return undefined;
    const compiling = Promise.all(
      launches.map(({ shader, launch }) =>
        compilePipeline(device, { shader, kernel: launch.name, node: node.name }),
      ),
    );
    const pipelines = await within(leftMs, compiling);
    if (pipelines === 'late') return 'late';
    scratch.forEach(({ bytes }, i) => buffers.ensure(`${SCRATCH}${i}`, bytes));
    await device.scoped(`a measurement of ${kernel.id} for "${node.name}"`, () =>
      made.push(record(device, alone, launches, pipelines, buffers)),
    );
    const [recording] = made;
    const once = await timeRepeats(device, recording, 1);
    const repeats = Math.max(1, Math.min(MOST_REPEATS, Math.floor(MEASUREMENT_MS / Math.max(once, 1e-3))));
    const first = await timeRepeats(device, recording, repeats);
    const second = await timeRepeats(device, recording, repeats);
    return Math.min(first, second);
  } catch (error) {
    // What a driver cannot compile is not taken.
    if (error instanceof KernelError) return undefined;
    throw error;
  } finally {
    for (const { uniforms } of made) uniforms?.destroy();
  }
}

/** What a promise gives, or `late` if that takes longer than some milliseconds; it goes on, and what it gives is lost. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | 'late'> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), milliseconds)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Prefix of the names of scratch buffers. */
const SCRATCH = 'scratch ';

/** Bytes of noise that buffers are filled with again and again. */
const NOISE_BYTES = 1 << 20;

/** Buffers in place of a plan's: activations and weights are noise, since zeros are multiplied faster; all else is zero. */
class NoiseBuffers implements BufferSource {
  readonly #device: OpenDevice;
  readonly #plan: Plan;
  readonly #noise: GPUBuffer;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(device: OpenDevice, plan: Plan) {
    this.#device = device;
    this.#plan = plan;
    const noise = Float32Array.from({ length: NOISE_BYTES / 4 }, (_, i) => Math.sin(i * 12.9898));
    const { STORAGE, COPY_SRC, COPY_DST } = BUFFER_USAGE;
    this.#noise = device.gpu.createBuffer({ size: NOISE_BYTES, usage: STORAGE | COPY_SRC | COPY_DST });
    const elements = encodeElements(noise, plan.dtype);
    device.gpu.queue.writeBuffer(this.#noise, 0, elements.buffer, 0, elements.byteLength);
  }

  bufferAt(place: Place): GPUBuffer {
    if (place.kind === 'arena')
      return this.#get(`arena ${place.buffer}`, this.#plan.arena[place.buffer], true);
    const name = place.kind === 'external' ? place.tensor : '';
    const tensor = this.#plan.tensors.find((candidate) => candidate.name === name);
    return this.#get(name, tensor?.bytes ?? 0, false);
  }

  weightRange(request: WeightRequest): WeightRange {
    const size = bufferBytes(request);
    return { buffer: this.#get(`weight ${size}`, size, true), offset: 0, size };
  }

  /** Makes a buffer of at least some bytes, or makes it larger. */
  ensure(name: string, bytes: number): void {
    const known = this.#buffers.get(name);
    if (known && known.size >= bytes) return;
    known?.destroy();
    this.#buffers.delete(name);
    this.#get(name, bytes, false);
  }

  dispose(): void {
    for (const buffer of [this.#noise, ...this.#buffers.values()]) buffer.destroy();
  }

  #get(name: string, bytes: number, noisy: boolean): GPUBuffer {
    const known = this.#buffers.get(name);
    if (known) return known;
    const { gpu } = this.#device;
    const { STORAGE, COPY_DST } = BUFFER_USAGE;
    const buffer = gpu.createBuffer({ label: name, size: padded(bytes), usage: STORAGE | COPY_DST });
    this.#buffers.set(name, buffer);
    if (!noisy) return buffer;
    const encoder = gpu.createCommandEncoder();
    for (let at = 0; at < buffer.size; at += NOISE_BYTES)
      encoder.copyBufferToBuffer(this.#noise, 0, buffer, at, Math.min(NOISE_BYTES, buffer.size - at));
    gpu.queue.submit([encoder.finish()]);
    return buffer;
  }
}
