/**
 * @file A plan compiled for the reference backend.
 *
 * Values live where the plan puts them, in real arena buffers, so that a plan whose ranges overlap computes wrong
 * numbers here as it would on a device. Arenas are filled with NaN before every run: nothing may be read that the
 * run did not write. An op's result is computed aside and then copied to its place, so in-place results are safe.
 */

import { GraphError, OptionError, OutOfMemoryError } from '../../errors.ts';
import type { ValueId } from '../../graph/op.ts';
import type { ExternalTensor, Place, Plan, PlannedValue } from '../../plan/plan.ts';
import type { DeviceDType } from '../../tensor/dtype.ts';
import type { DeviceTensor, DispatchTime, Program } from '../backend.ts';
import { planValue, unknownValue } from '../plan-values.ts';
import { elementCount, type Data, type Tensor } from './op.ts';
import { computeNode } from './ops.ts';

/** A tensor that outlives runs. */
export class ReferenceTensor implements DeviceTensor {
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  /** Zeros at first. */
  readonly data: Data;

  constructor({ shape, dtype }: Pick<ExternalTensor, 'shape' | 'dtype'>) {
    this.shape = shape;
    this.dtype = dtype;
    const bytes = 4 * elementCount(shape);
    this.data = viewOf(allocate(bytes), 0, { dtype, bytes });
  }

  dispose(): void {
    // Nothing but memory is held.
  }
}

function allocate(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    throw new OutOfMemoryError(`no memory for ${bytes} bytes`, {
      remedy: 'Ask for a smaller picture or batch',
      cause,
    });
  }
}

function viewOf(
  buffer: ArrayBuffer,
  offset: number,
  { dtype, bytes }: Pick<PlannedValue, 'dtype' | 'bytes'>,
): Data {
  return new (dtype === 'i32' ? Int32Array : Float32Array)(buffer, offset, bytes / 4);
}

/** Runs a plan at once, when `run` is called. */
export class ReferenceProgram implements Program {
  readonly plan: Plan;
  readonly #arena: readonly ArrayBuffer[];
  readonly #weights: readonly Float32Array[];
  readonly #tensors: ReadonlyMap<string, ReferenceTensor>;
  readonly #values = new Map<ValueId, Tensor>();

  /** @param shared tensors of other programs to use in place of own ones; throws GraphError if one does not fit. */
  constructor(plan: Plan, weights: readonly Float32Array[], shared: ReadonlyMap<string, DeviceTensor>) {
    this.plan = plan;
    this.#weights = weights;
    this.#arena = plan.arena.map(allocate);
    this.#tensors = new Map(
      plan.tensors.map((tensor) => [tensor.name, sharedOrNew(tensor, shared.get(tensor.name))]),
    );
    for (const [id, value] of plan.values)
      this.#values.set(id, { shape: value.shape, data: this.#dataAt(value.place, value) });
  }

  tensor(name: string): DeviceTensor {
    const { place } = planValue(this.plan, name);
    const tensor = place.kind === 'external' ? this.#tensors.get(place.tensor) : undefined;
    if (!tensor)
      throw new GraphError('is not kept in a tensor', { field: name, remedy: 'Name an input or output' });
    return tensor;
  }

  write(name: string, data: Data): void {
    const input = this.plan.inputs.find((candidate) => candidate.name === name);
    const target = input && this.#values.get(input.value)?.data;
    if (!target) throw unknownValue(this.plan, name);
    if (target.constructor !== data.constructor || target.length !== data.length)
      throw new OptionError(`is a ${data.constructor.name} of ${data.length} elements`, {
        field: name,
        remedy: `Give a ${target.constructor.name} of ${target.length} elements`,
      });
    target.set(data);
  }

  run(): void {
    this.#run(() => undefined);
  }

  read(name: string): Promise<Float32Array> {
    const { value } = this.#find(name);
    return Promise.resolve(Float32Array.from(this.#tensorOf(value).data));
  }

  profile(): Promise<DispatchTime[]> {
    const times: DispatchTime[] = [];
    let last = performance.now();
    this.#run((kernel, dispatch) => {
      const now = performance.now();
      times.push({ kernel, dispatch, milliseconds: now - last });
      last = now;
    });
    return Promise.resolve(times);
  }

  dispose(): void {
    this.#values.clear();
  }

  #run(done: (kernel: string, dispatch: number) => void): void {
    for (const buffer of this.#arena)
      new Float32Array(buffer, 0, Math.floor(buffer.byteLength / 4)).fill(Number.NaN);
    for (const [i, { node, kernel }] of this.plan.dispatches.entries()) {
      const output = this.#tensorOf(node.output);
      output.data.set(computeNode(node, (id) => this.#tensorOf(id), output.shape));
      done(kernel, i);
    }
    for (const { value, updates } of this.plan.outputs) {
      const input = updates === undefined ? undefined : this.plan.inputs.find(({ name }) => name === updates);
      if (input) this.#tensorOf(input.value).data.set(this.#tensorOf(value).data);
    }
  }

  #dataAt(place: Place, value: PlannedValue): Data {
    const whole =
      place.kind === 'arena'
        ? viewOf(this.#arena[place.buffer], place.offset, value)
        : place.kind === 'weight'
          ? this.#weights[place.index]
          : this.#tensors.get(place.tensor)?.data;
    const first = place.kind === 'arena' ? 0 : place.offset / 4;
    const found = whole?.subarray(first, first + elementCount(value.shape));
    if (found?.length === elementCount(value.shape)) return found;
    throw new GraphError(`is ${value.shape.join('x')} but its place holds ${found?.length ?? 0} elements`, {
      file: `plan "${this.plan.name}"`,
      field: value.name,
      remedy: 'This is a bug in the planner',
    });
  }

  #find(name: string): { readonly value: ValueId } {
    const found = [...this.plan.outputs, ...this.plan.inputs].find((candidate) => candidate.name === name);
    if (!found) throw unknownValue(this.plan, name);
    return found;
  }

  #tensorOf(id: ValueId): Tensor {
    const tensor = this.#values.get(id);
    if (!tensor)
      throw new GraphError(`value ${id} has no place, or the program was disposed`, {
        file: `plan "${this.plan.name}"`,
        remedy: 'Use a program before disposing it',
      });
    return tensor;
  }
}

function sharedOrNew(tensor: ExternalTensor, shared: DeviceTensor | undefined): ReferenceTensor {
  if (!shared) return new ReferenceTensor(tensor);
  const fits = shared.dtype === tensor.dtype && elementCount(shared.shape) === elementCount(tensor.shape);
  if (shared instanceof ReferenceTensor && fits) return shared;
  throw new GraphError(`cannot be shared: it is ${shared.dtype} [${shared.shape.join(', ')}]`, {
    field: tensor.name,
    remedy: `Give a reference tensor of ${tensor.dtype} [${tensor.shape.join(', ')}]`,
  });
}
