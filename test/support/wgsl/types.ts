/** @file WGSL's types, and where their parts lie in memory. */

/** Numbers; `int` and `float` are those of literals, which have no type of their own yet, and `i8` are in matrices alone. */
export type ScalarName = 'f32' | 'f16' | 'u32' | 'i32' | 'i8' | 'bool' | 'int' | 'float';

export interface Scalar {
  readonly kind: 'scalar';
  readonly name: ScalarName;
}
export interface Vector {
  readonly kind: 'vector';
  readonly count: number;
  readonly of: Scalar;
}
/** Columns of rows. */
export interface Matrix {
  readonly kind: 'matrix';
  readonly columns: number;
  readonly of: Vector;
}
export interface ArrayType {
  readonly kind: 'array';
  /** Infinity where a binding decides. */
  readonly count: number;
  readonly of: Type;
}
export interface Struct {
  readonly kind: 'struct';
  readonly name: string;
  readonly members: readonly { readonly name: string; readonly type: Type }[];
}
export interface Atomic {
  readonly kind: 'atomic';
  readonly of: Scalar;
}
/** A matrix that a subgroup holds together. */
export interface SubgroupMatrix {
  readonly kind: 'subgroup matrix';
  readonly role: 'left' | 'right' | 'result';
  readonly of: Scalar;
  readonly columns: number;
  readonly rows: number;
}
export type Type = Scalar | Vector | Matrix | ArrayType | Struct | Atomic | SubgroupMatrix;

const scalar = (name: ScalarName): Scalar => ({ kind: 'scalar', name });
export const F32 = scalar('f32');
export const F16 = scalar('f16');
export const U32 = scalar('u32');
export const I32 = scalar('i32');
const I8 = scalar('i8');
export const BOOL = scalar('bool');
export const INT = scalar('int');
export const FLOAT = scalar('float');

export function vectorOf(of: Scalar, count: number): Vector {
  return { kind: 'vector', count, of };
}

/** Types that have a name and no arguments. */
export const NAMED_TYPES: ReadonlyMap<string, Type> = new Map<string, Type>([
  ...[F32, F16, U32, I32, I8, BOOL].map((type) => [type.name, type] as const),
  ...(
    [
      ['f', F32],
      ['h', F16],
      ['u', U32],
      ['i', I32],
    ] as const
  ).flatMap(([letter, of]) =>
    [2, 3, 4].map((count) => [`vec${count}${letter}`, vectorOf(of, count)] as const),
  ),
  ...[2, 3, 4].flatMap((columns) =>
    [2, 3, 4].map(
      (rows) =>
        [`mat${columns}x${rows}f`, { kind: 'matrix', columns, of: vectorOf(F32, rows) } as const] as const,
    ),
  ),
]);

/** The number type that a type is made of. */
export function scalarOf(type: Type): Scalar {
  if (type.kind === 'scalar') return type;
  if (type.kind === 'struct' || type.kind === 'array') throw new TypeError(`${type.kind} has many parts`);
  return scalarOf(type.of);
}

/** A type with the numbers of another: `vec4<bool>` of `vec4f`. */
export function withScalar(type: Type, of: Scalar): Type {
  return type.kind === 'vector' ? vectorOf(of, type.count) : of;
}

/** What a literal becomes where nothing else is said. */
export function concrete(type: Type): Type {
  const name = type.kind === 'scalar' || type.kind === 'vector' ? scalarOf(type).name : '';
  return name === 'int' ? withScalar(type, I32) : name === 'float' ? withScalar(type, F32) : type;
}

const align = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

export function alignmentOf(type: Type): number {
  switch (type.kind) {
    case 'scalar':
      return type.name === 'f16' ? 2 : 4;
    case 'vector':
      return alignmentOf(type.of) * (type.count === 3 ? 4 : type.count);
    case 'struct':
      return Math.max(...type.members.map((member) => alignmentOf(member.type)));
    default:
      return alignmentOf(type.of);
  }
}

export function sizeOf(type: Type): number {
  switch (type.kind) {
    case 'scalar':
      return alignmentOf(type);
    case 'atomic':
      return 4;
    case 'vector':
      return type.count * alignmentOf(type.of);
    case 'matrix':
      return type.columns * strideOf(type);
    case 'array':
      return type.count * strideOf(type);
    case 'struct':
      return align(offsetOf(type, type.members.length), alignmentOf(type));
    case 'subgroup matrix':
      throw new TypeError('subgroup matrices have no place in memory');
  }
}

/** Bytes from one part of an array, matrix or vector to the next. */
export function strideOf(type: Type): number {
  if (type.kind === 'array' || type.kind === 'matrix') return align(sizeOf(type.of), alignmentOf(type.of));
  if (type.kind === 'vector') return sizeOf(type.of);
  throw new TypeError(`${type.kind} cannot be indexed`);
}

/** Bytes before a member of a structure; before its end for the one past the last. */
export function offsetOf(type: Struct, member: number): number {
  let offset = 0;
  for (let i = 0; i < member; i++) {
    const { type: part } = type.members[i];
    offset = align(offset, alignmentOf(part)) + sizeOf(part);
  }
  return member < type.members.length ? align(offset, alignmentOf(type.members[member].type)) : offset;
}

/** For people: `vec4<f32>`. */
export function nameOfType(type: Type): string {
  switch (type.kind) {
    case 'scalar':
      return type.name;
    case 'vector':
      return `vec${type.count}<${type.of.name}>`;
    case 'matrix':
      return `mat${type.columns}x${type.of.count}<${type.of.of.name}>`;
    case 'array':
      return `array<${nameOfType(type.of)}, ${type.count}>`;
    case 'struct':
      return type.name;
    case 'atomic':
      return `atomic<${type.of.name}>`;
    case 'subgroup matrix':
      return `subgroup_matrix_${type.role}<${type.of.name}, ${type.columns}, ${type.rows}>`;
  }
}
