/** @file A plan compiled for a device: buffers, and a recording that is replayed for every run. */

import { OptionError } from '../../errors.ts';
import { elementCount } from '../../kernels/kernel.ts';
import type { Place, Plan, PlannedValue } from '../../plan/plan.ts';
import type { DeviceTensor, DispatchTime, Program, RunTime } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE, MAP_READ } from './flags.ts';
import { profileOnDevice, profileOnHost } from './profile.ts';
import { encodeDispatches, type Recording } from './recording.ts';
import { RunTimer } from './run-timer.ts';
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
}

/** A compiled plan; `run` encodes one compute pass and returns. */
export class WebGpuProgram implements Program {
  readonly plan: Plan;
  readonly #parts: ProgramParts;
  #timer: RunTimer | undefined;
  #disposed = false;

  constructor(parts: ProgramParts) {
    this.plan = parts.plan;
    this.#parts = parts;
  }

  tensor(name: string): DeviceTensor {
    const { place } = this.#valueOf(name);
    const tensor = place.kind === 'external' ? this.#parts.tensors.get(place.tensor) : undefined;
    if (!tensor) throw this.#unknown(name);
    return tensor;
  }

  write(name: string, data: Float32Array | Int32Array): void {
    this.#checkUsable();
    const input = this.plan.inputs.find((candidate) => candidate.name === name);
    const value = input && this.plan.values.get(input.value);
    const tensor = value?.place.kind === 'external' ? this.#parts.tensors.get(value.place.tensor) : undefined;
    if (!value || !tensor) throw this.#unknown(name);
    const length = elementCount(value.shape);
    const isInteger = data instanceof Int32Array;
    if (data.length !== length || isInteger !== (value.dtype === 'i32'))
      throw new OptionError(
        `is ${isInteger ? 'an Int32Array' : 'a Float32Array'} of ${data.length} elements`,
        {
          file: `plan "${this.plan.name}"`,
          field: name,
          remedy: `Give ${value.dtype === 'i32' ? 'an Int32Array' : 'a Float32Array'} of ${length} elements`,
        },
      );
    const elements = encodeElements(data, value.dtype);
    this.#parts.device.gpu.queue.writeBuffer(
      tensor.buffer,
      value.place.offset,
      elements.buffer,
      elements.byteOffset,
      elements.byteLength,
    );
  }

  run(): void {
    this.#checkUsable();
    const { recording, recordAgain } = this.#parts;
    if (!recordAgain) return this.#submit(recording);
    const fresh = recordAgain();
    this.#submit(fresh);
    fresh.uniforms?.destroy();
  }

  #submit(recording: Recording): void {
    const { gpu } = this.#parts.device;
    const encoder = gpu.createCommandEncoder();
    const timestampWrites = this.#timer?.next();
    const pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
    encodeDispatches(pass, recording);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
  }

  timeRuns(count: number): () => Promise<readonly RunTime[]> {
    this.#checkUsable();
    const { device } = this.#parts;
    if (!device.hasTimestamps) return () => Promise.resolve([]);
    const timer = (this.#timer = new RunTimer(device, count));
    return async () => {
      if (this.#timer === timer) this.#timer = undefined;
      return timer.read();
    };
  }

  async read(name: string): Promise<Float32Array> {
    this.#checkUsable();
    const { device } = this.#parts;
    const { place, bytes, dtype, shape } = this.#valueOf(name);
    const size = Math.ceil(bytes / 4) * 4;
    const staging = await device.scoped(`a copy of "${name}"`, () => {
      const buffer = device.gpu.createBuffer({
        size: padded(size),
        usage: BUFFER_USAGE.COPY_DST | BUFFER_USAGE.MAP_READ,
      });
      const encoder = device.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#bufferAt(place, name), place.offset, buffer, 0, size);
      device.gpu.queue.submit([encoder.finish()]);
      return buffer;
    });
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
    const { device, recording } = this.#parts;
    const times = await (device.hasTimestamps ? profileOnDevice : profileOnHost)(device, recording);
    device.check();
    return times;
  }

  /** Fills everything that a run must write with NaN: tests call it so that nothing unwritten passes for a result. */
  poison(): void {
    const { device, arena, tensors } = this.#parts;
    const inputs = new Set(
      this.plan.inputs
        .map(({ value }) => this.plan.values.get(value)?.place)
        .map((place) => place?.kind === 'external' && place.tensor),
    );
    const outputs = [...tensors].filter(([name]) => !inputs.has(name)).map(([, tensor]) => tensor.buffer);
    for (const buffer of [...arena, ...outputs])
      device.gpu.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(0xff));
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { arena, ownTensors, recording } = this.#parts;
    for (const buffer of arena) buffer.destroy();
    for (const tensor of ownTensors) tensor.dispose();
    recording.uniforms?.destroy();
  }

  #checkUsable(): void {
    this.#parts.device.check();
    if (this.#disposed)
      throw new OptionError('the program was disposed of', {
        file: `plan "${this.plan.name}"`,
        remedy: 'Use a program before disposing of it',
      });
  }

  #valueOf(name: string): PlannedValue {
    const found = [...this.plan.outputs, ...this.plan.inputs].find((candidate) => candidate.name === name);
    const value = found && this.plan.values.get(found.value);
    if (!value) throw this.#unknown(name);
    return value;
  }

  #bufferAt(place: Place, name: string): GPUBuffer {
    const { arena, tensors, outputWeights } = this.#parts;
    const buffer =
      place.kind === 'arena'
        ? arena[place.buffer]
        : place.kind === 'external'
          ? tensors.get(place.tensor)?.buffer
          : outputWeights.get(place.index);
    if (!buffer) throw this.#unknown(name);
    return buffer;
  }

  #unknown(name: string): OptionError {
    const names = [...this.plan.inputs, ...this.plan.outputs].map((known) => known.name);
    return new OptionError('is no input or output', {
      file: `plan "${this.plan.name}"`,
      field: name,
      remedy: `Use one of ${names.join(', ')}`,
    });
  }
}
