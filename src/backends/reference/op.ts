/** @file What a reference op is: a plain function from arrays to an array. */

import type { OpTypes } from '../../graph/op.ts';

export { elementCount } from '../../tensor/shape.ts';

/** Elements of a value: `Int32Array` for i32, else `Float32Array`. */
export type Data = Float32Array | Int32Array;

/** A value with its numbers, row-major. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Data;
}

/**
 * Computes an op's output elements, in its inferred shape `output`. Sums are carried in float64 (the numbers of
 * JavaScript) and rounded to f32 once, when they are stored.
 */
export type ReferenceOp<Op extends OpTypes> = (
  inputs: { readonly [I in keyof Op['inputs']]: Tensor },
  attrs: Op['attrs'],
  output: readonly number[],
) => Data;

/** Size of the last axis. */
export function lastAxis(shape: readonly number[]): number {
  return shape.at(-1) ?? 1;
}

/** New f32 data, element i being `value(i)`. */
export function mapElements(count: number, value: (index: number) => number): Float32Array {
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) result[i] = value(i);
  return result;
}
