/** @file A plan compiled for a card: ranges of memory, and a graph that is replayed for every run. */

import { OptionError } from 'calotype';
import type { DeviceTensor, DispatchTime, Place, Plan, PlannedValue, Program } from 'calotype/backend-kit';
import type { OpenDevice, Range } from './device.ts';
import { elementCount } from './kernel.ts';
import type { PlannedLaunch } from './launches.ts';
import type { LaunchList } from './native.ts';
import { decodeElements, encodeElements, type CudaTensor } from './tensor.ts';

/** What a program is made of. */
export interface ProgramParts {
  readonly device: OpenDevice;
  readonly plan: Plan;
  readonly launches: readonly PlannedLaunch[];
  /** The same launches as the native half takes them. */
  readonly list: LaunchList;
  readonly graph: number;
  readonly arena: readonly Range[];
  /** What it will free: arenas and constants. */
  readonly ranges: readonly Range[];
  /** The plan's tensors by name, its own and shared ones. */
  readonly tensors: ReadonlyMap<string, CudaTensor>;
  /** Those that it made and will free. */
  readonly ownTensors: readonly CudaTensor[];
  addressAt(place: Place): bigint;
}

/** A compiled plan; `run` queues one replay of its graph and returns. */
export class CudaProgram implements Program {
  readonly plan: Plan;
  readonly #parts: ProgramParts;
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
    if (!value) throw this.#unknown(name);
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
    const { device, addressAt } = this.#parts;
    device.write(addressAt(value.place), encodeElements(data, value.dtype), `input "${name}"`);
  }

  run(): void {
    this.#checkUsable();
    this.#parts.device.replay(this.#parts.graph, `plan "${this.plan.name}"`);
  }

  async read(name: string): Promise<Float32Array> {
    this.#checkUsable();
    const { place, bytes, dtype } = this.#valueOf(name);
    const { device, addressAt } = this.#parts;
    return decodeElements(await device.read(addressAt(place), bytes, `output "${name}"`), dtype);
  }

  async profile(): Promise<DispatchTime[]> {
    this.#checkUsable();
    const { device, launches, list } = this.#parts;
    const times = await device.time(list, `plan "${this.plan.name}"`);
    return launches.map(({ dispatch, launch }, i) => ({
      dispatch,
      kernel: launch.type.name,
      milliseconds: times[i],
    }));
  }

  /** Fills everything that a run must write with NaN: tests call it so that nothing unwritten passes for a result. */
  poison(): void {
    const { device, arena, tensors } = this.#parts;
    const inputs = new Set(
      this.plan.inputs
        .map(({ value }) => this.plan.values.get(value)?.place)
        .map((place) => place?.kind === 'external' && place.tensor),
    );
    const outputs = [...tensors].filter(([name]) => !inputs.has(name)).map(([, tensor]) => tensor.range);
    for (const range of [...arena, ...outputs]) device.fill(range, 0xff);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { device, graph, ranges, ownTensors } = this.#parts;
    device.forget(graph);
    for (const range of ranges) device.release(range);
    for (const tensor of ownTensors) tensor.dispose();
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

  #unknown(name: string): OptionError {
    const names = [...this.plan.inputs, ...this.plan.outputs].map((known) => known.name);
    return new OptionError('is no input or output', {
      file: `plan "${this.plan.name}"`,
      field: name,
      remedy: `Use one of ${names.join(', ')}`,
    });
  }
}
