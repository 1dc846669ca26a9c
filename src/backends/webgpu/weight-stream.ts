/**
 * @file The weights of a program that come through slots (plan/stream.ts): where they are held, and how each segment's
 * find their way into a slot before it runs.
 *
 * A segment's weights lie in one buffer, laid out as in the slot: in the host's memory, from where the device copies
 * them, or in its own as float8, which a kernel widens.
 */

import { KernelError } from '../../errors.ts';
import source from '../../../shaders/upcast-float8.wgsl';
import { fold } from '../../kernels/kernel.ts';
import { assembleShader } from '../../kernels/wgsl.ts';
import type { Plan } from '../../plan/plan.ts';
import { segmentsOf, type Segment, type WeightPlacement } from '../../plan/stream.ts';
import { DEVICE_DTYPE_BYTES } from '../../tensor/dtype.ts';
import { isPartOf } from '../weight-loading.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_WRITE } from './flags.ts';
import { compilePipeline, type CompiledPipeline } from './pipelines.ts';
import type { WeightRange } from './recording.ts';
import { padded } from './tensor.ts';
import type { WeightUse } from './weight-uses.ts';
import { requestKey, type WebGpuWeights, type WeightRequest } from './weights.ts';

/** What widens a segment's weights. */
interface Upcast {
  readonly pipeline: GPUComputePipeline;
  readonly uniforms: GPUBuffer;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** A segment with its weights. */
interface HeldSegment extends Segment {
  readonly slot: GPUBuffer;
  /** Undefined where no weights move. */
  readonly source: GPUBuffer | undefined;
  readonly upcast: Upcast | undefined;
}

/** What a stream is opened with. */
export interface StreamOptions {
  readonly device: OpenDevice;
  readonly plan: Plan;
  readonly weights: WebGpuWeights;
  readonly uses: ReadonlyMap<string, WeightUse>;
  readonly placement: WeightPlacement;
}

/** The moving weights of one program. */
export class WeightStream {
  readonly segments: readonly HeldSegment[];
  readonly #options: StreamOptions;
  /** What the host may write to until the stream is sealed, by segment. */
  readonly #mapped = new Map<HeldSegment, Uint8Array>();

  private constructor(segments: readonly HeldSegment[], options: StreamOptions) {
    this.segments = segments;
    this.#options = options;
    if (options.placement.hold === 'host')
      for (const segment of segments)
        if (segment.source) this.#mapped.set(segment, new Uint8Array(segment.source.getMappedRange()));
  }

  /** Makes the buffers; `put` every weight that moves, then `seal`. */
  static async open(options: StreamOptions): Promise<WeightStream> {
    const { device, plan, weights, uses, placement } = options;
    const slots = await weights.slotsFor(placement);
    const segments = segmentsOf([...uses.values()], plan.dispatches.length, placement);
    const ratio = placement.hold === 'float8' ? widening(uses, placement) : 1;
    const upcast = placement.hold === 'float8' ? await compileUpcast(device, ratio) : undefined;
    const made: HeldSegment[] = [];
    try {
      return await device.scoped(`the weights that plan "${plan.name}" streams`, () => {
        for (const [i, segment] of segments.entries()) {
          const slot = slots[i % slots.length];
          const held = segment.bytes > 0 ? createSource(device, segment.bytes / ratio, placement) : undefined;
          made.push({ ...segment, slot, source: held, upcast: undefined });
          if (held && upcast)
            made[i] = { ...made[i], upcast: bindUpcast(device, upcast, held, slot, segment.bytes / ratio) };
        }
        return new WeightStream(made, options);
      });
    } catch (error) {
      for (const segment of made) destroy(segment);
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

  /** Reads a weight to where it is held. */
  async put(request: WeightRequest, signal?: AbortSignal): Promise<void> {
    const { weights, placement, device } = this.#options;
    const key = requestKey(request);
    const bytes = await weights.packed(request, placement.hold === 'float8' ? 'f8' : request.dtype, signal);
    for (const segment of this.segments) {
      const offset = segment.offsets.get(key);
      if (offset === undefined || !segment.source) continue;
      const mapped = this.#mapped.get(segment);
      if (mapped) mapped.set(bytes, offset);
      else {
        device.gpu.queue.writeBuffer(segment.source, offset / DEVICE_DTYPE_BYTES[request.dtype], bytes);
        await weights.drain(bytes.byteLength);
      }
    }
  }

  /** Lets the device read what was put. */
  seal(): void {
    for (const { source: held } of this.#mapped.keys()) held?.unmap();
    this.#mapped.clear();
  }

  /** Reads weights again that have one of these tensors as a part. */
  async refresh(names: ReadonlySet<string>, signal?: AbortSignal): Promise<void> {
    const { uses, placement } = this.#options;
    const stale = [...uses.values()].filter(
      ({ key, request }) => this.moves(key) && isPartOf(request.weight, names),
    );
    if (placement.hold === 'host')
      for (const segment of this.segments) {
        if (!segment.source || !stale.some(({ key }) => segment.offsets.has(key))) continue;
        await segment.source.mapAsync(MAP_WRITE);
        this.#mapped.set(segment, new Uint8Array(segment.source.getMappedRange()));
      }
    try {
      for (const { request } of stale) await this.put(request, signal);
    } finally {
      this.seal();
    }
  }

  /** Encodes what brings a segment's weights into its slot. */
  fill(encoder: GPUCommandEncoder, index: number): void {
    const { source: held, slot, bytes, upcast } = this.segments[index];
    if (!held) return;
    if (!upcast) return encoder.copyBufferToBuffer(held, 0, slot, 0, bytes);
    const pass = encoder.beginComputePass();
    pass.setPipeline(upcast.pipeline);
    pass.setBindGroup(0, upcast.bindGroup);
    pass.dispatchWorkgroups(...upcast.workgroups);
    pass.end();
  }

  dispose(): void {
    this.#options.weights.streams.delete(this);
    for (const segment of this.segments) destroy(segment);
  }
}

function destroy({ source: held, upcast }: HeldSegment): void {
  held?.destroy();
  upcast?.uniforms.destroy();
}

function createSource(device: OpenDevice, size: number, { hold }: WeightPlacement): GPUBuffer {
  return device.gpu.createBuffer(
    hold === 'host'
      ? {
          label: 'streamed weights',
          size,
          usage: BUFFER_USAGE.MAP_WRITE | BUFFER_USAGE.COPY_SRC,
          mappedAtCreation: true,
        }
      : { label: 'float8 weights', size, usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST },
  );
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

function compileUpcast(device: OpenDevice, ratio: number): Promise<CompiledPipeline> {
  const shader = assembleShader('upcast-float8', source, { HALF: ratio === 2 }, {});
  return compilePipeline(device, { shader, kernel: 'upcast-float8', node: 'weights held as float8' });
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
