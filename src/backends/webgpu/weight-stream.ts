/**
 * @file The weights of a program that come through slots (plan/stream.ts): where they are held, and how each segment's
 * find their way into a slot before it runs.
 *
 * A segment's weights lie together, laid out as in the slot: in a buffer in the host's memory, from where the device copies
 * them; where such buffers are the device's memory after all (device-memory.ts), in an array, from where the host copies
 * them while the device computes; or on the device as float8, which a kernel widens.
 */

import { CalotypeError, KernelError } from '../../errors.ts';
import source from '../../../shaders/upcast-float8.wgsl';
import { fold } from '../../kernels/kernel.ts';
import { assembleShader } from '../../kernels/wgsl.ts';
import type { Plan } from '../../plan/plan.ts';
import { segmentsOf, type Segment, type WeightPlacement } from '../../plan/stream.ts';
import { DEVICE_DTYPE_BYTES } from '../../tensor/dtype.ts';
import { isPartOf } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_WRITE } from './flags.ts';
import { cutRun } from './pace.ts';
import { compilePipeline, type CompiledPipeline } from './pipelines.ts';
import type { Recording, WeightRange } from './recording.ts';
import { padded } from './tensor.ts';
import { StreamStash, type HostHeld } from './stream-stash.ts';
import { UploadQueue } from './uploads.ts';
import type { WeightUse } from './weight-uses.ts';
import { requestKey, type WebGpuWeights, type WeightRequest } from './weights.ts';
import { WorkOrder } from './work-order.ts';

/** What widens a segment's weights. */
interface Upcast {
  readonly pipeline: GPUComputePipeline;
  readonly uniforms: GPUBuffer;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Where a segment's weights are held. */
type Held = HostHeld | { readonly kind: 'float8'; readonly buffer: GPUBuffer; readonly upcast: Upcast };

/** A segment with its weights. */
interface HeldSegment extends Segment {
  readonly slot: GPUBuffer;
  /** Undefined where no weights move. */
  readonly held: Held | undefined;
  /** Whether a stream before this one left the weights there. */
  readonly isFilled: boolean;
}

/** What a stream is opened with. */
export interface StreamOptions {
  readonly device: OpenDevice;
  readonly plan: Plan;
  readonly weights: WebGpuWeights;
  readonly uses: ReadonlyMap<string, WeightUse>;
  readonly placement: WeightPlacement;
  /** See `CompileOptions.keepHeld`. */
  readonly keepHeld: boolean;
}

/** Launches that are submitted together, behind the weights that are brought into slots first. */
export interface Submit {
  readonly from: number;
  readonly to: number;
  /** Segments, by their index. */
  readonly fills: readonly number[];
}

/** What brings the weights of a store's streams from arrays: its programs take turns. */
const UPLOADS = new WeakMap<WebGpuWeights, UploadQueue>();

/** The moving weights of one program. */
export class WeightStream {
  readonly segments: readonly HeldSegment[];
  readonly #options: StreamOptions;
  /** What the host may write to until the stream is sealed, by segment. */
  readonly #open = new Map<HeldSegment, Uint8Array>();
  /** Where weights come from arrays. */
  #uploads: UploadQueue | undefined;
  /** Lets go of the staging memory that is kept from run to run. */
  #leave: (() => void) | undefined;
  #isComplete = false;
  #isDisposed = false;

  private constructor(segments: readonly HeldSegment[], options: StreamOptions) {
    this.segments = segments;
    this.#options = options;
    for (const segment of segments) if (!segment.isFilled) this.#unseal(segment);
  }

  /** Makes the buffers; `put` every weight that moves, then `seal`. */
  static async open(options: StreamOptions): Promise<WeightStream> {
    const { device, plan, weights, uses, placement } = options;
    const slots = await slotsFor(weights, placement);
    weights.stash ??= new StreamStash(
      (held) => destroyHeld(device, held),
      (bytes) => device.meter.add('host', bytes),
    );
    const { stash } = weights;
    stash.begin(placement);
    const segments = segmentsOf([...uses.values()], plan.dispatches.length, placement);
    const upcasting = placement.hold === 'float8' ? await compileUpcast(device, uses, placement) : undefined;
    const made: HeldSegment[] = [];
    try {
      return await device.scoped(`the weights that plan "${plan.name}" streams`, () => {
        for (const [i, segment] of segments.entries()) {
          const slot = slots[i % slots.length];
          const left = upcasting ? undefined : stash.take(segment.offsets);
          const held =
            segment.bytes === 0
              ? undefined
              : upcasting
                ? holdFloat8(device, upcasting, segment.bytes, slot)
                : (left ?? holdOnHost(device, segment.bytes));
          made.push({ ...segment, slot, held, isFilled: left !== undefined });
        }
        return new WeightStream(made, options);
      });
    } catch (error) {
      for (const { held } of made) destroyHeld(device, held);
      throw error;
    }
  }

  /** Whether a weight moves. */
  moves(key: string): boolean {
    return !this.#options.placement.resident.has(key);
  }

  /** Where a dispatch finds a weight that moves. */
  rangeFor(key: string, dispatch: number): WeightRange | undefined {
    const { uses } = this.#options;
    const segment = this.segments.find(({ from, to }) => from <= dispatch && dispatch < to);
    const offset = segment?.offsets.get(key);
    const use = uses.get(key);
    return segment && offset !== undefined && use
      ? { buffer: segment.slot, offset, size: use.bytes }
      : undefined;
  }

  /** Reads a weight to where it is held, unless it is there. */
  async put(request: WeightRequest, signal?: AbortSignal): Promise<void> {
    const { weights, placement, keepHeld } = this.#options;
    const key = requestKey(request);
    const isFloat8 = placement.hold === 'float8';
    const segments = this.segments.filter(
      (segment) => segment.offsets.has(key) && (isFloat8 || this.#open.has(segment)),
    );
    if (segments.length === 0) return;
    if (isFloat8 && request.weight.parts.some(({ name }) => weights.reader.info(name).dtype !== 'F8_E4M3'))
      throw new KernelError('weights that are stored otherwise are to be held as float8', {
        field: key,
        remedy: 'This is a bug in the memory plan',
      });
    const left = isFloat8 ? weights.stash?.codes(key) : undefined;
    const bytes = left ?? (await weights.packed(request, isFloat8 ? 'f8' : request.dtype, signal));
    if (isFloat8 && keepHeld && !left) weights.stash?.leaveCodes(key, bytes);
    for (const segment of segments) {
      const offset = segment.offsets.get(key) ?? 0;
      if (segment.held?.kind === 'float8')
        await weights.write(segment.held.buffer, offset / DEVICE_DTYPE_BYTES[request.dtype], bytes);
      else this.#open.get(segment)?.set(bytes, offset);
    }
    if (keepHeld) for (const { name } of request.weight.parts) weights.reader.letGo?.(name);
  }

  /** Lets the device read what was put: all of it is there. */
  seal(): void {
    this.#close();
    this.#isComplete = true;
  }

  #close(): void {
    for (const { held } of this.#open.keys()) if (held?.kind === 'mapped') held.buffer.unmap();
    this.#open.clear();
  }

  /** Lets the host write to what it holds, which is mapped. */
  #unseal(segment: HeldSegment): void {
    const { held } = segment;
    if (held?.kind === 'array') this.#open.set(segment, held.bytes);
    if (held?.kind === 'mapped') this.#open.set(segment, new Uint8Array(held.buffer.getMappedRange()));
  }

  /** Reads weights again that have one of these tensors as a part. */
  async refresh(names: ReadonlySet<string>, signal?: AbortSignal): Promise<void> {
    const { uses } = this.#options;
    this.#isComplete = false;
    const stale = [...uses.values()].filter(
      ({ key, request }) => this.moves(key) && isPartOf(request.weight, names),
    );
    for (const segment of this.segments) {
      if (!stale.some(({ key }) => segment.offsets.has(key))) continue;
      if (segment.held?.kind === 'mapped') await segment.held.buffer.mapAsync(MAP_WRITE);
      this.#unseal(segment);
    }
    try {
      for (const { request } of stale) await this.put(request, signal);
    } catch (error) {
      this.#close();
      throw error;
    }
    this.seal();
  }

  /** The submits of a run: the next segment's weights go into their slot before the kernels of a segment are queued. */
  submits(names: Recording['names'], work: Float64Array, most: number): Submit[] {
    const { segments } = this;
    let to = 0;
    return segments.flatMap((segment, i) => {
      const from = to;
      while (to < names.length && names[to].dispatch < segment.to) to++;
      const fills = [i, i + 1].filter((slot) => (slot > i || i === 0) && slot < segments.length);
      return cutRun(work, from, to, most).map((range, k) => ({ ...range, fills: k === 0 ? fills : [] }));
    });
  }

  /**
   * Submits a run.
   * @param submit submits the launches of a part of it, after what is encoded before them
   * @returns a promise where the host brings weights, which has to wait for the device to take the ones before
   */
  run(submits: readonly Submit[], submit: SubmitPart): Promise<void> | undefined {
    if (this.segments.some(({ held }) => held?.kind === 'array')) return this.#runFromArrays(submits, submit);
    for (const [i, { fills }] of submits.entries())
      submit(i, (encoder) => {
        for (const index of fills) fill(encoder, this.segments[index]);
      });
    return undefined;
  }

  async #runFromArrays(submits: readonly Submit[], submit: SubmitPart): Promise<void> {
    const uploads = this.#staging();
    try {
      for (const [i, { fills }] of submits.entries()) {
        for (const index of fills) {
          const { held, slot } = this.segments[index];
          if (held?.kind === 'array') await uploads.write(slot, 0, held.bytes);
          if (this.#isDisposed) return;
        }
        uploads.submit();
        submit(i);
      }
    } catch (error) {
      if (!this.#isDisposed) throw error;
    }
  }

  /** Staging memory, which stays until the stream is disposed of: making it takes longer than to use it. */
  #staging(): UploadQueue {
    if (this.#uploads) return this.#uploads;
    const { device, weights, placement } = this.#options;
    const uploads = UPLOADS.get(weights) ?? new UploadQueue(device, placement.slotBytes);
    UPLOADS.set(weights, uploads);
    void uploads.during(() => new Promise<void>((resolve) => (this.#leave = resolve)));
    this.#uploads = uploads;
    return uploads;
  }

  dispose(): void {
    const { weights, device, keepHeld } = this.#options;
    this.#isDisposed = true;
    weights.streams.delete(this);
    for (const { held, offsets } of this.segments)
      if (keepHeld && this.#isComplete && held && held.kind !== 'float8') weights.stash?.leave(offsets, held);
      else destroyHeld(device, held);
    device.order.do(() => this.#leave?.());
  }
}

/** The slots that all streamed programs of a store share; they are made of the size that is asked for first. */
async function slotsFor(
  weights: WebGpuWeights,
  { slots, slotBytes }: WeightPlacement,
): Promise<readonly GPUBuffer[]> {
  const { device } = weights;
  if (weights.slots.length === 0)
    weights.slots = await device.scoped('slots for weights', () =>
      Array.from({ length: slots }, () =>
        device.gpu.createBuffer({
          label: 'slot for weights',
          size: padded(slotBytes),
          usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST,
        }),
      ),
    );
  if (weights.slots.every(({ size }) => size >= slotBytes)) return weights.slots;
  throw new KernelError(`programs of one network ask for different slots`, {
    remedy: 'This is a bug in the memory plan',
  });
}

/** Submits the launches of a part of a run, by its index, after what is encoded before them. */
type SubmitPart = (index: number, encodeBefore?: (encoder: GPUCommandEncoder) => void) => void;

/** Encodes what brings a segment's weights into its slot. */
function fill(encoder: GPUCommandEncoder, { held, slot, bytes }: HeldSegment): void {
  if (held?.kind === 'mapped') encoder.copyBufferToBuffer(held.buffer, 0, slot, 0, bytes);
  if (held?.kind !== 'float8') return;
  const pass = encoder.beginComputePass();
  pass.setPipeline(held.upcast.pipeline);
  pass.setBindGroup(0, held.upcast.bindGroup);
  pass.dispatchWorkgroups(...held.upcast.workgroups);
  pass.end();
}

function destroyHeld({ meter }: OpenDevice, held: Held | undefined): void {
  if (held?.kind === 'array') meter.remove('host', held.bytes.byteLength);
  else held?.buffer.destroy();
  if (held?.kind === 'float8') held.upcast.uniforms.destroy();
}

/** From now on work waits for streamed weights where it has to. */
function keepOrder(device: OpenDevice): void {
  if (device.order instanceof WorkOrder) return;
  device.order = new WorkOrder((error) =>
    device.fail(
      error instanceof CalotypeError
        ? error
        : new KernelError(`weights could not be streamed: ${String(error)}`, {
            remedy:
              'Report it with the output of "calotype doctor", and use a larger budget of memory meanwhile',
            cause: error,
          }),
    ),
  );
}

function holdOnHost(device: OpenDevice, size: number): HostHeld {
  const { gpu, meter, mappedMemory } = device;
  if (mappedMemory === 'device') {
    keepOrder(device);
    const bytes = new Uint8Array(size);
    meter.add('host', size);
    return { kind: 'array', bytes };
  }
  const usage = BUFFER_USAGE.MAP_WRITE | BUFFER_USAGE.COPY_SRC;
  return {
    kind: 'mapped',
    buffer: gpu.createBuffer({ label: 'streamed weights', size, usage, mappedAtCreation: true }),
  };
}

/** What widens the weights of a plan, and bytes that a code becomes. */
interface Upcasting {
  readonly compiled: CompiledPipeline;
  readonly ratio: number;
}

function holdFloat8(
  device: OpenDevice,
  { compiled, ratio }: Upcasting,
  bytes: number,
  slot: GPUBuffer,
): Held {
  const size = bytes / ratio;
  const usage = BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST;
  const buffer = device.gpu.createBuffer({ label: 'float8 weights', size, usage });
  return { kind: 'float8', buffer, upcast: bindUpcast(device, compiled, buffer, slot, size) };
}

/** Bytes that a code becomes; only matrices are held as float8, and those of a plan are of one type. */
function widening(uses: ReadonlyMap<string, WeightUse>, { resident }: WeightPlacement): number {
  const types = new Set(
    [...uses.values()].flatMap(({ key, request }) => (resident.has(key) ? [] : [request.dtype])),
  );
  const [dtype = 'f16'] = types;
  if (types.size <= 1) return DEVICE_DTYPE_BYTES[dtype];
  throw new KernelError('weights of several types are to be held as float8', {
    remedy: 'This is a bug in the memory plan',
  });
}

async function compileUpcast(
  device: OpenDevice,
  uses: ReadonlyMap<string, WeightUse>,
  placement: WeightPlacement,
): Promise<Upcasting> {
  const ratio = widening(uses, placement);
  const shader = assembleShader('upcast-float8', source, { HALF: ratio === 2 }, {});
  const compiled = await compilePipeline(device, {
    shader,
    kernel: 'upcast-float8',
    node: 'weights held as float8',
  });
  return { compiled, ratio };
}

function bindUpcast(
  device: OpenDevice,
  { pipeline, layout }: CompiledPipeline,
  held: GPUBuffer,
  slot: GPUBuffer,
  codes: number,
): Upcast {
  const words = codes / 4;
  const uniforms = device.gpu.createBuffer({
    label: 'dims',
    size: padded(4),
    usage: BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
  });
  device.gpu.queue.writeBuffer(uniforms, 0, Uint32Array.of(words));
  const bindGroup = device.gpu.createBindGroup({
    layout,
    entries: [uniforms, held, slot].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return { pipeline, uniforms, bindGroup, workgroups: fold(Math.ceil(words / 256), device.traits) };
}
