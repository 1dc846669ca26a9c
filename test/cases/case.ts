/**
 * @file What a case is: one op with concrete shapes, deterministic data and error bounds, as plain data.
 *
 * The same table drives correctness tests, benchmarks and the support matrix of every backend. Values of `float`
 * inputs are representable in f16, so that f16 and f32 backends are given the same numbers.
 */

import type { WeightReader } from '../../src/backends/backend.ts';
import { NotFoundError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { holdSumsWide } from '../../src/graph/wide-sums.ts';
import type { OpKind, OpMap } from '../../src/graph/ops.ts';
import type { FloatDType, ValueDType } from '../../src/tensor/dtype.ts';
import { bf16ToF32, encodeBF16 } from '../../src/tensor/float16.ts';

/** How an input's data is made. */
type Fill =
  /** Roughly normal, within shift +- 3 * scale. */
  | { readonly kind: 'normal'; readonly scale: number; readonly shift: number }
  /** Whole numbers from `from` up to but not including `to`. */
  | { readonly kind: 'integers'; readonly from: number; readonly to: number }
  /** These numbers, row-major. */
  | { readonly kind: 'values'; readonly values: readonly number[] };

/** One input of a case. */
export interface CaseInput {
  readonly shape: readonly number[];
  readonly dtype: ValueDType;
  /** Weights are read through a WeightReader, under the input's name; inputs are written. */
  readonly role: 'input' | 'weight';
  readonly fill: Fill;
}

/** An input that is the same value as another input of the case (fused QKV). */
export interface SharedInput {
  readonly sameAs: string;
}

/** Largest normalised mean squared error against the reference, by the backend's storage type; see `boundOf`. */
export interface NmseBounds {
  readonly f32: number;
  readonly f16: number;
}

/** A case of one op kind. */
export interface CaseOf<K extends OpKind> {
  /** Unique in the whole table. */
  readonly name: string;
  readonly kind: K;
  readonly inputs: { readonly [I in keyof OpMap[K]['inputs']]: CaseInput | SharedInput };
  readonly attrs: OpMap[K]['attrs'];
  readonly nmse: NmseBounds;
  /** Whether the output and a residual are in f32 whatever the backend's type is; see graph/wide-sums.ts. */
  readonly wide?: boolean;
  /** True for shapes of real models, which are too large to check against the reference. */
  readonly bench: boolean;
}

/** A case of any kind. */
export type OpCase = { readonly [K in OpKind]: CaseOf<K> }[OpKind];

/** bf16 is three bits less exact than f16. */
export function boundOf({ nmse }: { readonly nmse: NmseBounds }, dtype: FloatDType): number {
  return dtype === 'bf16' ? 4 ** 3 * nmse.f16 : nmse[dtype];
}

/**
 * Bounds for ops that round once or accumulate in f32. Rounding a result to f16 alone costs up to 8e-8.
 */
export const ROUNDING: NmseBounds = { f32: 1e-12, f16: 2e-7 };

/** Bounds for long sums and transcendental functions. */
export const ACCUMULATION: NmseBounds = { f32: 1e-10, f16: 1e-6 };

/** An activation: standard normal unless told otherwise. */
export function activation(shape: readonly number[], scale = 1, shift = 0): CaseInput {
  return { shape, dtype: 'float', role: 'input', fill: { kind: 'normal', scale, shift } };
}

/** An f32 tensor: scheduler state, noise, timesteps. */
export function state(shape: readonly number[], scale = 1): CaseInput {
  return { shape, dtype: 'f32', role: 'input', fill: { kind: 'normal', scale, shift: 0 } };
}

/** A matrix or filter [out, in, ...], scaled so that outputs are about as large as inputs. */
export function matrix(shape: readonly number[]): CaseInput {
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  return {
    shape,
    dtype: 'float',
    role: 'weight',
    fill: { kind: 'normal', scale: 1 / Math.sqrt(fanIn), shift: 0 },
  };
}

/** A vector [channels] of weights: biases, and norms' scales with `shift` 1. */
export function vector(channels: number, shift = 0): CaseInput {
  return { shape: [channels], dtype: 'float', role: 'weight', fill: { kind: 'normal', scale: 0.5, shift } };
}

/** Indices from 0 up to but not including `to`. */
export function indices(shape: readonly number[], to: number): CaseInput {
  return { shape, dtype: 'i32', role: 'input', fill: { kind: 'integers', from: 0, to } };
}

/** Indices given one by one. */
export function indexList(values: readonly number[]): CaseInput {
  return { shape: [values.length], dtype: 'i32', role: 'input', fill: { kind: 'values', values } };
}

/** The same value as another input. */
export function sameAs(input: string): SharedInput {
  return { sameAs: input };
}

/** Uniform numbers in [0, 1) from a text seed: FNV-1a into the mulberry32 generator. */
export function seededRandom(seed: string): () => number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
  let s = hash >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

/** The nearest number with f16's 11 significant bits; for magnitudes below 65504. */
function roundToHalf(value: number): number {
  if (value === 0) return 0;
  float[0] = value;
  const exponent = Math.max(((words[1] >>> 20) & 0x7ff) - 1023, -14);
  const unit = 2 ** (exponent - 10);
  return Math.round(value / unit) * unit;
}

/** The data of one input; the same on every machine. */
export function fillInput(seed: string, { shape, dtype, fill }: CaseInput): Float32Array | Int32Array {
  const count = shape.reduce((a, b) => a * b, 1);
  const data = dtype === 'i32' ? new Int32Array(count) : new Float32Array(count);
  const random = seededRandom(seed);
  for (let i = 0; i < count; i++) {
    switch (fill.kind) {
      case 'normal': {
        // The sum of three uniforms on [-1, 1) has variance 1 and is bell-shaped enough.
        const value = fill.shift + fill.scale * (2 * (random() + random() + random()) - 3);
        data[i] = dtype === 'float' ? roundToHalf(value) : value;
        break;
      }
      case 'integers':
        data[i] = fill.from + Math.floor(random() * (fill.to - fill.from));
        break;
      case 'values':
        data[i] = fill.values[i] ?? Number.NaN;
        break;
    }
  }
  return data;
}

/** The inputs of a case that have data of their own, by name. */
function ownInputs(testCase: OpCase): [string, CaseInput][] {
  return Object.entries<CaseInput | SharedInput>(testCase.inputs).filter(
    (entry): entry is [string, CaseInput] => !('sameAs' in entry[1]),
  );
}

/** A graph of the case's op alone; its inputs and weights have the op's input names, its output is `y`. */
export function caseGraph(testCase: OpCase): Graph {
  const builder = new GraphBuilder(testCase.name);
  const values = new Map<string, number>();
  const { wide = false } = testCase;
  for (const [name, { shape, dtype, role }] of ownInputs(testCase))
    values.set(
      name,
      role === 'weight'
        ? builder.weight(name, shape)
        : builder.input(name, shape, wide && name === 'residual' ? 'f32' : dtype, 'latent'),
    );
  const inputs = Object.entries<CaseInput | SharedInput>(testCase.inputs).map(([name, input]) => {
    const value = values.get('sameAs' in input ? input.sameAs : name);
    if (value === undefined) throw new RangeError(`${testCase.name}: no input for ${name}`);
    return [name, value] as const;
  });
  builder.output('y', appendOp(builder, testCase, Object.fromEntries(inputs)));
  const graph = builder.build();
  return wide ? holdSumsWide(graph) : graph;
}

function appendOp<K extends OpKind>(
  builder: GraphBuilder,
  { kind, attrs }: CaseOf<K>,
  ids: Record<string, number>,
): number {
  // The keys of `ids` are those of the case's inputs, whose type is that of the op's inputs.
  return builder.op(kind, kind, ids, attrs);
}

/** The data of the case that is computed now, by input: several backends are given it one after the other. */
const made: { of?: OpCase; data: Map<string, Float32Array | Int32Array> } = { data: new Map() };

function madeOnce(testCase: OpCase, name: string, input: CaseInput): Float32Array | Int32Array {
  if (made.of !== testCase) Object.assign(made, { of: testCase, data: new Map() });
  const data = made.data.get(name) ?? fillInput(`${testCase.name}/${name}`, input);
  made.data.set(name, data);
  return data;
}

/** An input's data, as an element type holds it: all of it can be given in f16 as it is, not so in bf16. */
function dataOf(testCase: OpCase, name: string, input: CaseInput, given: FloatDType) {
  const data = madeOnce(testCase, name, input);
  if (given !== 'bf16' || input.dtype !== 'float' || data instanceof Int32Array) return data;
  return Float32Array.from(encodeBF16(data), bf16ToF32);
}

/** Data for the graph's inputs, by name. */
export function caseInputs(
  testCase: OpCase,
  given: FloatDType = 'f32',
): Map<string, Float32Array | Int32Array> {
  return new Map(
    ownInputs(testCase)
      .filter(([, input]) => input.role === 'input')
      .map(([name, input]) => [name, dataOf(testCase, name, input, given)]),
  );
}

/** The case's weights as a backend reads them: F32, little endian. */
export function caseWeights(testCase: OpCase, given: FloatDType = 'f32'): WeightReader {
  const weights = new Map(ownInputs(testCase).filter(([, input]) => input.role === 'weight'));
  const find = (name: string): CaseInput => {
    const weight = weights.get(name);
    if (!weight)
      throw new NotFoundError('no such weight', {
        file: testCase.name,
        field: name,
        remedy: 'Add it to the case',
      });
    return weight;
  };
  return {
    info: (name) => ({ dtype: 'F32', shape: find(name).shape, file: testCase.name }),
    read: (name) => {
      const data = dataOf(testCase, name, find(name), given);
      return Promise.resolve(new Uint8Array(data.buffer));
    },
  };
}
