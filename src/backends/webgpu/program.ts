/** @file A plan compiled for a device: buffers, and a recording that is replayed for every run. */

import {
  disposedProgram,
  planInput,
  planTensor,
  planValue,
  unknownValue,
  writtenTensors,
} from '../plan-values.ts';
import { elementCount } from '../../kernels/kernel.ts';
import { later } from '../../later.ts';
import type { Place, Plan } from '../../plan/plan.ts';
import type { DeviceTensor, DispatchTime, Program, RunTime } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_READ } from './flags.ts';
import { cutRun, type Pace } from './pace.ts';
import { encodeDispatches, type Recording } from './recording.ts';
import { RunTimer } from './run-timer.ts';
import type { Submit, WeightStream } from './weight-stream.ts';
import { decodeElements, encodeElements, padded, type WebGpuTensor } from './tensor.ts';

/** What a program is made of. */
export interface ProgramParts {
  readonly device: OpenDevice;
  readonly plan: Plan;
  readonly recording: Recording;
  /** Makes bind groups and uniforms anew, for programs that shall do so at every run. */
  readonly recordAgain?: (() => Recording) | undefined;
  readonly arena: readonly GPUBuffer[];
  /** The plan's tensors by name, its own and shared ones. */
  readonly tensors: ReadonlyMap<string, WebGpuTensor>;
  /** Those that it made and will free. */
  readonly ownTensors: readonly WebGpuTensor[];
  /** Weights, as stored, that are outputs themselves; by their index. */
  readonly outputWeights: ReadonlyMap<number, GPUBuffer>;
  /** Where weights come through slots; the program's own. */
  readonly stream?: WeightStream | undefined;
}

/** A compiled plan; `run` encodes its compute passes, one where the device is fast enough, and returns. */
export class WebGpuProgram implements Program {
  readonly plan: Plan;
  readonly #parts: ProgramParts;
  readonly #pace: Pace;
  /** Of all launches of a run. */
  readonly #work: number;
  #cut: { readonly most: number; readonly submits: readonly Submit[] } | undefined;
  #timer: RunTimer | undefined;
  #disposed = false;

  constructor(parts: ProgramParts) {
    this.plan = parts.plan;
    this.#parts = parts;
    this.#pace = parts.device.pace.ofProgram();
    this.#work = parts.recording.work.reduce((sum, work) => sum + work, 0);
  }

  tensor(name: string): DeviceTensor {
    return planTensor(this.plan, this.#parts.tensors, name);
  }

  write(name: string, data: Float32Array | Int32Array): void {
    this.#checkUsable();
    const value = planInput(this.plan, name, data);
    const { place } = value;
    const tensor = place.kind === 'external' ? this.#parts.tensors.get(place.tensor) : undefined;
    if (!tensor) throw unknownValue(this.plan, name);
    const { gpu, order } = this.#parts.device;
    const encoded = encodeElements(data, value.dtype);
    // The caller may use the array again.
    const elements = order.isWaiting ? encoded.slice() : encoded;
    order.do(() =>
      gpu.queue.writeBuffer(
        tensor.buffer,
        place.offset,
        elements.buffer,
        elements.byteOffset,
        elements.byteLength,
      ),
    );
  }

  run(): void {
    this.#checkUsable();
    const { recording, recordAgain, device } = this.#parts;
    device.order.do(() => {
      if (this.#disposed) return undefined;
      if (!recordAgain) return this.#submit(recording);
      const fresh = recordAgain();
      const waits = this.#submit(fresh);
      if (waits) return waits.then(() => fresh.uniforms?.destroy());
      return fresh.uniforms?.destroy();
    });
  }

  /** Submits a run; a promise where its weights have to be waited for. */
  #submit(recording: Recording): Promise<void> | undefined {
    const { device, stream } = this.#parts;
    const learning = this.#timer ? undefined : this.#pace.begin(device, this.#work);
    const times = (this.#timer ?? learning?.timer)?.next();
    const submits = this.#submits(recording);
    const submit = (i: number, fill?: (encoder: GPUCommandEncoder) => void): void => {
      const encoder = device.gpu.createCommandEncoder();
      fill?.(encoder);
      const pass = encoder.beginComputePass(times && submitTimes(times, i, submits.length));
      encodeDispatches(pass, recording, submits[i].from, submits[i].to);
      pass.end();
      device.gpu.queue.submit([encoder.finish()]);
      if (i + 1 === submits.length) learning?.end();
    };
    if (stream) return stream.run(submits, submit);
    for (const i of submits.keys()) submit(i);
    return undefined;
  }

  /** The submits of a run, as the device's pace is by now. */
  #submits({ names, work }: Recording): readonly Submit[] {
    const most = Math.min(this.#pace.limit, this.#work);
    if (this.#cut?.most === most) return this.#cut.submits;
    const submits =
      this.#parts.stream?.submits(names, work, most) ??
      cutRun(work, 0, names.length, most).map((range) => ({ ...range, fills: [] }));
    this.#cut = { most, submits };
    return submits;
  }

  timeRuns(count: number): () => Promise<readonly RunTime[]> {
    this.#checkUsable();
    const { device } = this.#parts;
    if (!device.hasTimestamps) return () => Promise.resolve([]);
    const timer = (this.#timer = new RunTimer(device, count));
    return async () => {
      if (this.#timer === timer) this.#timer = undefined;
      return device.order.after(() => timer.read());
    };
  }

  async read(name: string): Promise<Float32Array> {
    this.#checkUsable();
    const { device } = this.#parts;
    const { place, bytes, dtype, shape } = planValue(this.plan, name);
    const size = Math.ceil(bytes / 4) * 4;
    const copy = (): GPUBuffer => {
      const buffer = device.gpu.createBuffer({
        size: padded(size),
        usage: BUFFER_USAGE.COPY_DST | BUFFER_USAGE.MAP_READ,
      });
      const encoder = device.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#bufferAt(place, name), place.offset, buffer, 0, size);
      device.gpu.queue.submit([encoder.finish()]);
      return buffer;
    };
    const staging = await device.order.after(() => device.scoped(`a copy of "${name}"`, copy));
    try {
      await staging.mapAsync(MAP_READ, 0, padded(size));
    } catch (error) {
      device.check();
      throw error;
    }
    device.check();
    const data = decodeElements(staging.getMappedRange(0, padded(size)), dtype, elementCount(shape));
    staging.destroy();
    return data;
  }

  async profile(): Promise<DispatchTime[]> {
    this.#checkUsable();
    const { device, recording, stream } = this.#parts;
    const { profileOnDevice, profileOnHost, refuseStreamed } = await later(
      'profiles',
      () => import('./profile.ts'),
    );
    if (stream) throw refuseStreamed(this.plan);
    const times = await (device.hasTimestamps ? profileOnDevice : profileOnHost)(device, recording);
    device.check();
    return times;
  }

  /** Fills everything that a run must write with NaN: tests call it so that nothing unwritten passes for a result. */
  poison(): void {
    const { device, arena, tensors } = this.#parts;
    const outputs = writtenTensors(this.plan, tensors).map((tensor) => tensor.buffer);
    for (const buffer of [...arena, ...outputs])
      device.gpu.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(0xff));
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { arena, ownTensors, recording, stream } = this.#parts;
    for (const buffer of arena) buffer.destroy();
    for (const tensor of ownTensors) tensor.dispose();
    recording.uniforms?.destroy();
    stream?.dispose();
  }

  #checkUsable(): void {
    this.#parts.device.check();
    if (this.#disposed) throw disposedProgram(this.plan);
  }

  #bufferAt(place: Place, name: string): GPUBuffer {
    const { arena, tensors, outputWeights } = this.#parts;
    const buffer =
      place.kind === 'arena'
        ? arena[place.buffer]
        : place.kind === 'external'
          ? tensors.get(place.tensor)?.buffer
          : outputWeights.get(place.index);
    if (!buffer) throw unknownValue(this.plan, name);
    return buffer;
  }
}

/** A run's begin and end are written by its first and its last pass. */
function submitTimes(
  { querySet, ...indices }: GPUComputePassTimestampWrites,
  submit: number,
  count: number,
): GPUComputePassDescriptor | undefined {
  const { beginningOfPassWriteIndex: begin, endOfPassWriteIndex: end } = indices;
  const times = {
    ...(submit === 0 && begin !== undefined && { beginningOfPassWriteIndex: begin }),
    ...(submit === count - 1 && end !== undefined && { endOfPassWriteIndex: end }),
  };
  return Object.keys(times).length > 0 ? { timestampWrites: { querySet, ...times } } : undefined;
}
