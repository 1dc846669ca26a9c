/** @file A plan compiled for the CPU: a launch list that every run works through. */

import { disposedProgram, planInput, planTensor, planValue, writtenTensors } from '../plan-values.ts';
import type { Place, Plan } from '../../plan/plan.ts';
import type { DeviceTensor, DispatchTime, Program } from '../backend.ts';
import type { Engine } from './engine.ts';
import { elementCount } from './kernel.ts';
import { writeLaunches, type BoundLaunch, type LaunchList } from './launch-list.ts';
import type { Range } from './memory.ts';
import type { CpuTensor } from './tensor.ts';
import type { CpuWeights } from './weights.ts';

/** A plan's launches, with addresses that hold as long as the weights have the layout of this number. */
export interface Recording {
  /** All launches, with the index of their dispatch. */
  readonly launches: readonly (BoundLaunch & { readonly dispatch: number })[];
  readonly list: LaunchList;
  readonly layout: number;
}

/** What a program is made of. */
export interface ProgramParts {
  readonly engine: Engine;
  readonly plan: Plan;
  readonly weights: CpuWeights;
  /** Writes the launches for the weights' present layout. */
  record(): Recording;
  readonly arena: readonly Range[];
  /** What it will free, launches apart. */
  readonly ranges: readonly Range[];
  /** The plan's tensors by name, its own and shared ones. */
  readonly tensors: ReadonlyMap<string, CpuTensor>;
  /** Those that it made and will free. */
  readonly ownTensors: readonly CpuTensor[];
  addressAt(place: Place): number;
}

/** A compiled plan; `run` queues its launches and returns. */
export class CpuProgram implements Program {
  readonly plan: Plan;
  readonly #parts: ProgramParts;
  #recording: Recording;
  #disposed = false;

  constructor(parts: ProgramParts, recording: Recording) {
    this.plan = parts.plan;
    this.#parts = parts;
    this.#recording = recording;
  }

  tensor(name: string): DeviceTensor {
    return planTensor(this.plan, this.#parts.tensors, name);
  }

  write(name: string, data: Float32Array | Int32Array): void {
    this.#checkUsable();
    const { engine, addressAt } = this.#parts;
    const value = planInput(this.plan, name, data);
    const length = elementCount(value.shape);
    const address = addressAt(value.place);
    // The caller may change its array while the write waits for earlier runs.
    const elements = engine.isBusy ? data.slice() : data;
    const written = engine.enqueue(() => {
      if (elements instanceof Int32Array) engine.memory.integers(address, length).set(elements);
      else engine.memory.floats(address, length).set(elements);
    });
    // What goes wrong before it is the engine's failure, which the next call throws.
    written.catch(() => undefined);
  }

  run(): void {
    this.#checkUsable();
    this.#parts.engine.run(this.#recorded().list.address);
  }

  async read(name: string): Promise<Float32Array> {
    this.#checkUsable();
    const { engine, addressAt } = this.#parts;
    const { place, shape, dtype } = planValue(this.plan, name);
    const [address, length] = [addressAt(place), elementCount(shape)];
    return engine.enqueue(() =>
      dtype === 'i32'
        ? Float32Array.from(engine.memory.integers(address, length))
        : new Float32Array(engine.memory.floats(address, length)),
    );
  }

  async profile(): Promise<DispatchTime[]> {
    this.#checkUsable();
    const { engine } = this.#parts;
    const { launches } = this.#recorded();
    const timed = launches.filter(({ launch }) => launch.tasks > 0);
    const stamps = engine.memory.allocate(8 * (timed.length + 1), 'time stamps');
    const list = writeLaunches(engine, timed, 'timed launches', stamps);
    try {
      const start = engine.enqueue(() => performance.timeOrigin + performance.now());
      engine.run(list.address);
      const ends = await engine.enqueue(
        () => new Float64Array(new Float64Array(engine.memory.memory.buffer, stamps.address, timed.length)),
      );
      let last = await start;
      return timed.map(({ dispatch, launch }, i) => {
        const milliseconds = ends[i] - last;
        last = ends[i];
        return { dispatch, kernel: launch.name, milliseconds };
      });
    } finally {
      await engine.releaseLater([stamps, list.range]);
    }
  }

  /** Fills everything that a run must write with NaN: tests call it so that nothing unwritten passes for a result. */
  poison(): void {
    const { engine, arena, tensors } = this.#parts;
    const outputs = writtenTensors(this.plan, tensors).map((tensor) => tensor.range);
    for (const { address, bytes } of [...arena, ...outputs])
      void engine.enqueue(() => engine.memory.bytes(address, bytes).fill(0xff));
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { engine, ranges, ownTensors } = this.#parts;
    void engine.releaseLater([...ranges, this.#recording.list.range]);
    for (const tensor of ownTensors) tensor.dispose();
  }

  /** The launches, written again if weights have moved since. */
  #recorded(): Recording {
    const { engine, weights, record } = this.#parts;
    if (this.#recording.layout !== weights.layout) {
      const { list } = this.#recording;
      this.#recording = record();
      void engine.releaseLater([list.range]);
    }
    return this.#recording;
  }

  #checkUsable(): void {
    this.#parts.engine.check();
    if (this.#disposed) throw disposedProgram(this.plan);
  }
}
