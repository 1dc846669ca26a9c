/**
 * @file What an op is: the types every file in `ops/` fills in, and the checks they share.
 *
 * An op has named inputs, plain-data attributes and exactly one output. Its definition says how the output's
 * shape follows from the inputs, how much arithmetic that is, and which inputs the output may overwrite.
 * Layouts: images are NHWC, sequences are [batch, tokens, channels], weights keep the shapes torch stores.
 */

import { GraphError } from '../errors.ts';
import type { ValueDType } from '../tensor/dtype.ts';
import { formatShape, sameDim, sameShape, type Dim, type Shape } from '../tensor/shape.ts';

/** Index of a value in its graph. */
export type ValueId = number;

/** Shape and element type of a value. */
export interface ValueType {
  readonly shape: Shape;
  readonly dtype: ValueDType;
}

/** Base of every op's interface: named inputs (an absent optional input is an absent key) and attributes. */
export interface OpTypes {
  readonly inputs: Readonly<Record<string, ValueId>>;
  readonly attrs: object;
}

/** The types of an op's inputs, under the same names. */
export type InputTypes<Op extends OpTypes> = { readonly [K in keyof Op['inputs']]: ValueType };

/** Element type that an input must have: `real` is `float` or `f32`, `any` is for views. */
export type InputDType = ValueDType | 'real' | 'any';

/** What the table of ops holds for each op. */
export interface OpDefinition<Op extends OpTypes> {
  /** One sentence for printers and the support table. */
  readonly summary: string;
  /** Element types of inputs that are not `real`; views take any. */
  readonly dtypes?: { readonly [K in keyof Op['inputs']]?: InputDType };
  /** Type of the output; throws GraphError when the inputs' shapes do not fit. */
  infer(inputs: InputTypes<Op>, attrs: Op['attrs']): ValueType;
  /** Floating-point operations (a multiply-add counts 2); defaults to one for each output element. */
  flops?(inputs: InputTypes<Op>, attrs: Op['attrs'], output: ValueType): Dim;
  /** Inputs that the output may overwrite, element for element, if they die here. */
  readonly inPlace?: readonly (keyof Op['inputs'] & string)[];
  /** True when the output is the same bytes as input `x` in another shape: nothing is dispatched. */
  readonly isView?: boolean;
}

/**
 * Activation functions, by torch's names; `gelu` is the exact erf form, `gelu_tanh` its approximation by tanh, `quick_gelu`
 * is x * sigmoid(1.702 x).
 */
export type Activation = 'none' | 'relu' | 'silu' | 'gelu' | 'quick_gelu' | 'tanh' | 'gelu_tanh';

/** Throws GraphError with `problem` unless `condition` holds. */
export function check(condition: boolean, problem: string): asserts condition {
  if (!condition)
    throw new GraphError(problem, { remedy: 'Compare the model file with the network it describes' });
}

/** Checks the element type, naming the input. */
export function checkDtype(name: string, { dtype }: ValueType, expected: InputDType): void {
  const fits = expected === 'any' || dtype === expected || (expected === 'real' && dtype !== 'i32');
  check(fits, `${name} is ${dtype}, expected ${expected === 'real' ? 'float or f32' : expected}`);
}

/** The dimension at `axis` (negative counts from the end). */
export function dimOf(type: ValueType, axis: number): Dim {
  const dim = type.shape.at(axis);
  check(dim !== undefined, `no axis ${axis} in ${formatShape(type.shape)}`);
  return dim;
}

/** Checks a shape, naming the input. */
export function checkShape(name: string, type: ValueType, expected: Shape): void {
  check(
    sameShape(type.shape, expected),
    `${name} is ${formatShape(type.shape)}, expected ${formatShape(expected)}`,
  );
}

/** Checks the number of axes, naming the input. */
export function checkRank(name: string, type: ValueType, rank: number): void {
  check(type.shape.length === rank, `${name} is ${formatShape(type.shape)}, expected ${rank} axes`);
}

/** Checks one dimension, naming the input. */
export function checkDim(name: string, type: ValueType, axis: number, expected: Dim): void {
  check(
    sameDim(dimOf(type, axis), expected),
    `${name} is ${formatShape(type.shape)}, expected ${typeof expected === 'number' ? expected : expected.key} at axis ${axis}`,
  );
}

/** Same shape as `like` with the last axis replaced. */
export function withChannels(like: ValueType, channels: Dim): Shape {
  return [...like.shape.slice(0, -1), channels];
}
