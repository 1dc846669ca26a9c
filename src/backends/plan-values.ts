/** @file What the programs of all backends check alike: names of inputs and outputs, and data for them. */

import { OptionError } from '../errors.ts';
import type { Plan, PlannedValue } from '../plan/plan.ts';
import { elementCount } from '../tensor/shape.ts';
import type { DeviceTensor } from './backend.ts';

/** The input or output of this name. Throws OptionError if there is none. */
export function planValue(plan: Plan, name: string): PlannedValue {
  const found = [...plan.outputs, ...plan.inputs].find((candidate) => candidate.name === name);
  const value = found && plan.values.get(found.value);
  if (!value) throw unknownValue(plan, name);
  return value;
}

/** The tensor behind an input or output, among those of a program. Throws OptionError if it is in none. */
export function planTensor<Tensor extends DeviceTensor>(
  plan: Plan,
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
): Tensor {
  const { place } = planValue(plan, name);
  const tensor = place.kind === 'external' ? tensors.get(place.tensor) : undefined;
  if (!tensor) throw unknownValue(plan, name);
  return tensor;
}

/** The input of this name, if the data fits it. Throws OptionError otherwise. */
export function planInput(plan: Plan, name: string, data: Float32Array | Int32Array): PlannedValue {
  const input = plan.inputs.find((candidate) => candidate.name === name);
  const value = input && plan.values.get(input.value);
  if (!value) throw unknownValue(plan, name);
  const length = elementCount(value.shape);
  const isInteger = data instanceof Int32Array;
  if (data.length !== length || isInteger !== (value.dtype === 'i32'))
    throw new OptionError(`is ${isInteger ? 'an Int32Array' : 'a Float32Array'} of ${data.length} elements`, {
      file: `plan "${plan.name}"`,
      field: name,
      remedy: `Give ${value.dtype === 'i32' ? 'an Int32Array' : 'a Float32Array'} of ${length} elements`,
    });
  return value;
}

/** Of a program's tensors those that no input is in: runs must write them. */
export function writtenTensors<Tensor>(plan: Plan, tensors: ReadonlyMap<string, Tensor>): Tensor[] {
  const inputs = new Set(
    plan.inputs
      .map(({ value }) => plan.values.get(value)?.place)
      .map((place) => place?.kind === 'external' && place.tensor),
  );
  return [...tensors].filter(([name]) => !inputs.has(name)).map(([, tensor]) => tensor);
}

/** The error for a name that no input or output has. */
export function unknownValue(plan: Plan, name: string): OptionError {
  const names = [...plan.inputs, ...plan.outputs].map((known) => known.name);
  return new OptionError('is no input or output', {
    file: `plan "${plan.name}"`,
    field: name,
    remedy: `Use one of ${names.join(', ')}`,
  });
}

/** The error for a program that is used after its end. */
export function disposedProgram(plan: Plan): OptionError {
  return new OptionError('the program was disposed of', {
    file: `plan "${plan.name}"`,
    remedy: 'Use a program before disposing of it',
  });
}
