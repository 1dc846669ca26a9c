/**
 * @file Launches as plain data, and as the bytes that the native half passes to kernels.
 *
 * A launch type mirrors the C function `calotype_<name>` and its argument struct in `kernels/*.h`, field by field and in
 * order (nested structs are written flat). A test reads the headers, and opening a device compares sizes.
 */

import { KernelError } from 'calotype';
import type { LaunchList } from './native.ts';

const FIELD_BYTES = { pointer: 8, i64: 8, i32: 4, f32: 4 } as const;

/** Type of a struct's field. */
export type FieldType = keyof typeof FIELD_BYTES;

/** Fields of a struct, in order. */
export type Fields = Readonly<Record<string, FieldType>>;

/**
 * What a pointer points to: an operand (an input's name, `y` for the output, `scratch0`, `scratch1`, ...) or a place inside
 * of it, or constant data. An operand that the node does not have, and 'none', are null.
 */
export type Operand =
  string | { readonly operand: string; readonly offsetBytes: number } | { readonly data: Float32Array };

/** Values for a struct's fields. */
export type ArgumentsOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends 'pointer' ? Operand : number;
};

/** A kernel of the native half. */
export interface LaunchType {
  /** `calotype_<name>` without its beginning. */
  readonly name: string;
  readonly fields: Fields;
  /** sizeof the struct. */
  readonly bytes: number;
}

/** One call of a kernel. */
export interface CudaLaunch {
  readonly type: LaunchType;
  readonly args: Readonly<Record<string, Operand | number>>;
}

/** A launch type whose calls are checked by the compiler. */
export interface TypedLaunch<F extends Fields> extends LaunchType {
  with(args: ArgumentsOf<F>): CudaLaunch;
}

/** Mirrors a kernel of the native half. */
export function defineLaunch<const F extends Fields>(name: string, fields: F): TypedLaunch<F> {
  let bytes = 0;
  for (const field of Object.values(fields)) bytes = align(bytes, FIELD_BYTES[field]) + FIELD_BYTES[field];
  const largest = Math.max(...Object.values(fields).map((field) => FIELD_BYTES[field]));
  const type: LaunchType = { name, fields, bytes: align(bytes, largest) };
  return { ...type, with: (args) => ({ type, args }) };
}

function align(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}

/** A launch and the addresses behind its operands. */
export interface BoundLaunch {
  readonly launch: CudaLaunch;
  /** For people: the node that it is part of. */
  readonly node: string;
  /** 0 for an operand that there is not. */
  addressOf(operand: string): bigint;
  /** Address of constant data, which must stay as long as the launches. */
  constant(data: Float32Array): bigint;
}

/**
 * Launches as the native half takes them.
 * @param kernels the native half's kernels, by name
 * @throws KernelError naming the node for a kernel that is not there or a number that does not fit its field
 */
export function encodeLaunches(
  bound: readonly BoundLaunch[],
  kernels: ReadonlyMap<string, number>,
): LaunchList {
  const offsets = new Uint32Array(bound.length);
  let size = 0;
  bound.forEach(({ launch }, i) => {
    offsets[i] = size;
    size += align(launch.type.bytes, 8);
  });
  const args = new Uint8Array(size);
  const numbers = bound.map((one, i) => {
    const { type } = one.launch;
    writeArguments(new DataView(args.buffer, offsets[i], type.bytes), one);
    const kernel = kernels.get(type.name);
    if (kernel === undefined) throw bug(one.node, `the native half has no kernel ${type.name}`);
    return kernel;
  });
  return { kernels: Int32Array.from(numbers), offsets, args };
}

function writeArguments(view: DataView, bound: BoundLaunch): void {
  const { launch, node, addressOf, constant } = bound;
  let offset = 0;
  for (const [name, field] of Object.entries(launch.type.fields)) {
    const value = launch.args[name];
    offset = align(offset, FIELD_BYTES[field]);
    if (field === 'pointer') {
      if (typeof value === 'number') throw bug(node, `${launch.type.name}: ${name} must be an operand`);
      view.setBigUint64(offset, pointerOf(value, addressOf, constant), true);
    } else {
      if (typeof value !== 'number' || !fits(value, field))
        throw bug(node, `${launch.type.name}: ${JSON.stringify(value)} does not fit the ${field} ${name}`);
      if (field === 'i64') view.setBigInt64(offset, BigInt(value), true);
      else if (field === 'i32') view.setInt32(offset, value, true);
      else view.setFloat32(offset, value, true);
    }
    offset += FIELD_BYTES[field];
  }
}

function pointerOf(
  value: Operand,
  addressOf: BoundLaunch['addressOf'],
  constant: BoundLaunch['constant'],
): bigint {
  if (typeof value === 'string') return value === 'none' ? 0n : addressOf(value);
  if ('data' in value) return constant(value.data);
  return addressOf(value.operand) + BigInt(value.offsetBytes);
}

function fits(value: number, field: FieldType): boolean {
  if (field === 'f32') return !Number.isNaN(value);
  return Number.isSafeInteger(value) && (field === 'i64' || Math.abs(value) < 2 ** 31);
}

function bug(node: string, problem: string): KernelError {
  return new KernelError(problem, {
    field: node,
    remedy: 'Use a smaller size or batch if it is very large; else this is a bug in the CUDA backend',
  });
}
