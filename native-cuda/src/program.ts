/** @file A plan compiled for a card: ranges of memory, and a graph that is replayed for every run. */

import {
  disposedProgram,
  planInput,
  planTensor,
  planValue,
  writtenTensors,
  type DeviceTensor,
  type DispatchTime,
  type Place,
  type Plan,
  type Program,
} from 'calotype/backend-kit';
import type { OpenDevice, Range } from './device.ts';
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
    return planTensor(this.plan, this.#parts.tensors, name);
  }

  write(name: string, data: Float32Array | Int32Array): void {
    this.#checkUsable();
    const value = planInput(this.plan, name, data);
    const { device, addressAt } = this.#parts;
    device.write(addressAt(value.place), encodeElements(data, value.dtype), `input "${name}"`);
  }

  run(): void {
    this.#checkUsable();
    this.#parts.device.replay(this.#parts.graph, `plan "${this.plan.name}"`);
  }

  async read(name: string): Promise<Float32Array> {
    this.#checkUsable();
    const { place, bytes, dtype } = planValue(this.plan, name);
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
    const outputs = writtenTensors(this.plan, tensors).map((tensor) => tensor.range);
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
    if (this.#disposed) throw disposedProgram(this.plan);
  }
}
