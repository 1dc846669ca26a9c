/**
 * @file What the lanes of a subgroup do together, when all of them ask for it at once. Lanes must agree on matrices: where a
 * kernel lets offsets differ from lane to lane, hardware would do anything.
 */

import { f16ToF32, f32ToF16 } from '../../../src/tensor/float16.ts';
import { FIRST_SUBGROUP, type Memory } from './memory.ts';

/** Numbers of a matrix, row by row; never changed once made. */
export type MatrixNumbers = Float64Array;

const zeros = new Map<number, MatrixNumbers>();

/** A matrix of zeros, one for all lanes. */
export function zeroMatrix(count: number): MatrixNumbers {
  const known = zeros.get(count) ?? new Float64Array(count);
  zeros.set(count, known);
  return known;
}

/** The subgroup that asks: its number, and lanes by their place in it. */
interface Asking {
  readonly subgroup: number;
  /** What each lane gave. */
  readonly args: readonly (readonly unknown[])[];
}

/** Answers a subgroup: a value for each lane. */
export type Collective = (asking: Asking) => readonly unknown[];

/** How numbers of matrices lie in memory. */
const NUMBERS = {
  f32: {
    bytes: 4,
    read: (m: Memory, at: number) => m.f32[at >> 2],
    write: (m: Memory, at: number, v: number) => void (m.f32[at >> 2] = v),
  },
  f16: {
    bytes: 2,
    read: (m: Memory, at: number) => f16ToF32(m.u16[at >> 1]),
    write: (m: Memory, at: number, v: number) => void (m.u16[at >> 1] = f32ToF16(v)),
  },
  i32: {
    bytes: 4,
    read: (m: Memory, at: number) => m.i32[at >> 2],
    write: (m: Memory, at: number, v: number) => void (m.i32[at >> 2] = v),
  },
  i8: {
    bytes: 1,
    read: (m: Memory, at: number) => m.i8[at],
    write: (m: Memory, at: number, v: number) => void (m.i8[at] = v),
  },
};

interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly number: keyof typeof NUMBERS;
  readonly columnMajor: boolean;
  /** Bytes of an element of the array it lies in. */
  readonly element: number;
}

function rounding(number: string): (value: number) => number {
  if (number === 'i32') return (value) => value | 0;
  return number === 'f16' ? (value) => f16ToF32(f32ToF16(value)) : Math.fround;
}

/** Arguments that all lanes must give alike. */
function common(asking: Asking, what: string): readonly unknown[] {
  const [first, ...others] = asking.args;
  for (const args of others)
    for (const [i, arg] of args.entries())
      if (arg !== first[i]) throw new Error(`lanes of a subgroup do not agree on a matrix that they ${what}`);
  return first;
}

/** Calls `visit` with the index of each number of a matrix and its bytes in memory. */
function walk(
  { rows, columns, number, columnMajor, element }: Layout,
  offset: number,
  stride: number,
  visit: (index: number, bytes: number) => void,
): void {
  const size = NUMBERS[number].bytes;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const [line, place] = columnMajor ? [column, row] : [row, column];
      visit(row * columns + column, (offset + line * stride) * element + place * size);
    }
}

/** Runs as the subgroup and not as a lane, for who watches memory. */
function asSubgroup<T>(memory: Memory, subgroup: number, run: () => T): T {
  if (memory.watch) memory.watch.agent = FIRST_SUBGROUP + subgroup;
  return run();
}

function loadMatrix(asking: Asking): unknown[] {
  const [memory, how, offset, stride] = common(asking, 'load') as [Memory, Layout, number, number];
  const { bytes: size, read } = NUMBERS[how.number];
  const matrix = new Float64Array(how.rows * how.columns);
  asSubgroup(memory, asking.subgroup, () =>
    walk(how, offset, stride, (i, bytes) => {
      matrix[i] = read(memory, memory.at(bytes, size, false));
    }),
  );
  return asking.args.map(() => matrix);
}

function storeMatrix(asking: Asking): unknown[] {
  const [memory, how, offset, stride, matrix] = common(asking, 'store') as [
    Memory,
    Layout,
    number,
    number,
    MatrixNumbers,
  ];
  const { bytes: size, write } = NUMBERS[how.number];
  asSubgroup(memory, asking.subgroup, () =>
    walk(how, offset, stride, (i, bytes) => {
      write(memory, memory.at(bytes, size, true), matrix[i]);
    }),
  );
  return asking.args.map(() => undefined);
}

function multiply(asking: Asking): unknown[] {
  const [sizes, left, right, sum] = common(asking, 'multiply') as [
    { readonly rows: number; readonly columns: number; readonly depth: number; readonly number: string },
    MatrixNumbers,
    MatrixNumbers,
    MatrixNumbers,
  ];
  const { rows, columns, depth } = sizes;
  const round = rounding(sizes.number);
  const product = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let value = sum[row * columns + column];
      for (let k = 0; k < depth; k++) value += left[row * depth + k] * right[k * columns + column];
      product[row * columns + column] = round(value);
    }
  return asking.args.map(() => product);
}

function shuffleXor({ args }: Asking): unknown[] {
  return args.map(([, mask], lane) => {
    const from = args[lane ^ (mask as number)];
    if (from === undefined) throw new Error(`a lane asks lane ${lane ^ (mask as number)} of ${args.length}`);
    return from[0];
  });
}

/** What subgroups can be asked for. */
export const SUBGROUP = {
  loadMatrix,
  storeMatrix,
  multiply,
  shuffleXor,
  add: ({ args }: Asking): unknown[] => {
    const sum = args.reduce((total, [value]) => Math.fround(total + (value as number)), 0);
    return args.map(() => sum);
  },
  max: ({ args }: Asking): unknown[] => {
    const largest = Math.max(...args.map(([value]) => value as number));
    return args.map(() => largest);
  },
} satisfies Record<string, Collective>;
