/**
 * @file How kernels want weights laid out, and the functions that lay them out while weights are uploaded.
 *
 * The graph declares weights as torch stores them: convolutions [out, in, kh, kw], linear layers [out, in].
 */

import { DEVICE_DTYPE_BYTES, type FloatDType } from '../tensor/dtype.ts';

/** A layout of a weight on the device. */
export type Packing =
  /** As stored. */
  | { readonly kind: 'plain' }
  /**
   * 4x4 blocks [k / 4][n / 4][4 of k][4 of n] for kernels that multiply `mat4x4` by `vec4`. The sum runs over
   * (ky, kx, channel), each source's channels padded with zeros to a multiple of 4.
   */
  | (MatrixPacking & { readonly kind: 'blocks' })
  /**
   * Rows [n][k] for subgroup matrices. The sum runs over (ky, kx, channel), each source's channels padded to a
   * multiple of 8, and all of it to a multiple of `depth`.
   */
  | (MatrixPacking & { readonly kind: 'rows'; readonly depth: number })
  | Int8Packing;

/**
 * Rows [n][k] of signed bytes for linear layers, then an f32 for each row that its bytes are multiplied by. The stored
 * row's largest magnitude becomes 127.
 */
export interface Int8Packing {
  readonly kind: 'int8';
  /** As in `MatrixPacking`. */
  readonly gate: number;
  readonly columns: number;
}

/** Layouts that keep a weight's element type. */
export type FloatPacking = Exclude<Packing, Int8Packing>;

interface MatrixPacking {
  /** Channels of each source: one, or two where a kernel reads a concatenation from its parts. */
  readonly sources: readonly number[];
  /**
   * For gated layers (GEGLU), the number of neighbouring columns after which value and gate columns alternate, so
   * that one thread or tile holds both; 0 if the layer is not gated.
   */
  readonly gate: number;
  /** The number of columns (outputs) is padded to a multiple of this. */
  readonly columns: number;
}

/** A weight's elements: f32 numbers, or bit patterns of f16 or float8. */
export type Elements = Float32Array | Uint16Array | Uint8Array;

function align(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Columns of a packed matrix with `columns` outputs: gated ones come in pairs of `gate` columns. */
export function packedColumns(columns: number, gate: number, multiple: number): number {
  return align(gate > 0 ? align(columns / 2, gate) * 2 : columns, multiple);
}

/** Where the n-th stored row goes. */
function packedColumn(n: number, columns: number, gate: number): number {
  if (gate === 0) return n;
  const half = columns / 2;
  const within = n < half ? n : n - half;
  return Math.floor(within / gate) * 2 * gate + (within % gate) + (n < half ? 0 : gate);
}

/** Length of the packed sum: (ky, kx, channel), each source's channels padded to `multiple`. */
export function packedDepth(taps: number, sources: readonly number[], multiple: number): number {
  return taps * sources.reduce((sum, channels) => sum + align(channels, multiple), 0);
}

function tapsOf(shape: readonly number[]): number {
  return shape.slice(2).reduce((a, b) => a * b, 1);
}

/** Bytes that a weight of this shape takes when packed. */
export function packedBytes(packing: Packing, shape: readonly number[], dtype: FloatDType): number {
  return packing.kind === 'int8'
    ? packedColumns(shape[0], packing.gate, packing.columns) * (shape[1] + 4)
    : packedLength(packing, shape) * DEVICE_DTYPE_BYTES[dtype];
}

/** Number of elements that a weight of this shape takes when packed. */
export function packedLength(packing: FloatPacking, shape: readonly number[]): number {
  if (packing.kind === 'plain') return shape.reduce((a, b) => a * b, 1);
  const width = packedColumns(shape[0], packing.gate, packing.columns);
  const taps = tapsOf(shape);
  return packing.kind === 'blocks'
    ? width * packedDepth(taps, packing.sources, 4)
    : width * align(packedDepth(taps, packing.sources, 8), packing.depth);
}

/** Whether a packed weight is its stored elements in their order. */
export function isStoredOrder(packing: Packing, shape: readonly number[]): boolean {
  if (packing.kind === 'plain') return true;
  return (
    packing.kind === 'rows' &&
    packing.gate === 0 &&
    tapsOf(shape) === 1 &&
    packing.sources.length === 1 &&
    shape[0] % packing.columns === 0 &&
    shape[1] % align(packing.depth, 8) === 0
  );
}

/**
 * Puts some rows of a weight where the packing wants them.
 * @param source rows `firstRow`, `firstRow` + 1, ... of a weight of `shape`, row-major.
 * @param target `packedLength` elements, zeros at first.
 */
export function packRows(
  packing: FloatPacking,
  shape: readonly number[],
  source: Elements,
  firstRow: number,
  target: Elements,
): void {
  const [columns, channels = 1] = shape;
  if (packing.kind === 'plain') {
    target.set(source, firstRow * (target.length / columns));
    return;
  }
  const taps = tapsOf(shape);
  const rowLength = channels * taps;
  const { offsets, columnOffset } =
    packing.kind === 'blocks' ? blockOffsets(packing, shape, taps) : rowOffsets(packing, taps);
  const contiguous = offsets.every((offset, i) => offset === i);
  const tapDepth =
    packing.kind === 'rows' && packing.sources.length === 1 ? packedDepth(1, packing.sources, 8) : 0;
  for (let row = 0; row < source.length / rowLength; row++) {
    const base = columnOffset(packedColumn(firstRow + row, columns, packing.gate));
    const from = row * rowLength;
    if (contiguous) target.set(source.subarray(from, from + rowLength), base);
    else if (taps === 9 && tapDepth > 0) spreadTaps(source, from, channels, target, base, tapDepth);
    else for (let i = 0; i < rowLength; i++) target[base + offsets[i]] = source[from + i];
  }
}

/**
 * Puts some rows of a linear layer's weight where `Int8Packing` wants them.
 * @param source rows `firstRow`, `firstRow` + 1, ... of a weight of `shape`
 * @param target `packedBytes` bytes, zeros at first
 */
export function packInt8Rows(
  { gate, columns: multiple }: Int8Packing,
  shape: readonly number[],
  source: Float32Array,
  firstRow: number,
  target: Uint8Array<ArrayBuffer>,
): void {
  const [columns, depth] = shape;
  const scales = new Float32Array(target.buffer, packedColumns(columns, gate, multiple) * depth);
  const bytes = new Int8Array(target.buffer);
  for (let row = 0; row * depth < source.length; row++) {
    const values = source.subarray(row * depth, (row + 1) * depth);
    let largest = 0;
    for (let k = 0; k < depth; k++) {
      const magnitude = Math.abs(values[k]);
      if (magnitude > largest) largest = magnitude;
    }
    const column = packedColumn(firstRow + row, columns, gate);
    scales[column] = largest / 127;
    const factor = largest > 0 ? 127 / largest : 0;
    for (let k = 0; k < depth; k++) bytes[column * depth + k] = Math.round(values[k] * factor);
  }
}

/** Moves a filter's row [channel][9 taps] to [9 taps][tapDepth channels]. Most of a UNet passes here: four times as fast as by a table. */
function spreadTaps(
  source: Elements,
  from: number,
  channels: number,
  target: Elements,
  base: number,
  tapDepth: number,
): void {
  for (let channel = 0, at = from; channel < channels; channel++, at += 9) {
    const to = base + channel;
    target[to] = source[at];
    target[to + tapDepth] = source[at + 1];
    target[to + 2 * tapDepth] = source[at + 2];
    target[to + 3 * tapDepth] = source[at + 3];
    target[to + 4 * tapDepth] = source[at + 4];
    target[to + 5 * tapDepth] = source[at + 5];
    target[to + 6 * tapDepth] = source[at + 6];
    target[to + 7 * tapDepth] = source[at + 7];
    target[to + 8 * tapDepth] = source[at + 8];
  }
}

interface Offsets {
  /** By position in a stored row, (channel, ky, kx). */
  readonly offsets: Uint32Array;
  columnOffset(column: number): number;
}

function blockOffsets(packing: MatrixPacking, shape: readonly number[], taps: number): Offsets {
  const width = packedColumns(shape[0], packing.gate, packing.columns);
  return {
    offsets: sumPositions(packing.sources, taps, 4).map((k) => (k >> 2) * width * 4 + (k & 3) * 4),
    columnOffset: (column) => (column >> 2) * 16 + (column & 3),
  };
}

function rowOffsets(packing: MatrixPacking & { readonly depth: number }, taps: number): Offsets {
  const pitch = align(packedDepth(taps, packing.sources, 8), packing.depth);
  return { offsets: sumPositions(packing.sources, taps, 8), columnOffset: (column) => column * pitch };
}

/** Place in the padded sum of each (channel, tap) of a stored row. */
function sumPositions(sources: readonly number[], taps: number, multiple: number): Uint32Array {
  const channels = sources.reduce((a, b) => a + b, 0);
  const tapDepth = packedDepth(1, sources, multiple);
  const positions = new Uint32Array(channels * taps);
  let channel = 0;
  let start = 0;
  for (const count of sources) {
    for (let c = 0; c < count; c++, channel++)
      for (let tap = 0; tap < taps; tap++) positions[channel * taps + tap] = tap * tapDepth + start + c;
    start += align(count, multiple);
  }
  return positions;
}

/** Which stored element is where in a packed weight; -1 where there is none. */
export interface PackedOrder {
  /** Stored row of each packed column. */
  readonly columns: Int32Array;
  /** Position in a stored row, (channel, ky, kx), of each packed step of the sum. */
  readonly depth: Int32Array;
}

/** The order of a packed weight: what `packRows` does, seen from the other side. */
export function packedOrder(packing: FloatPacking, shape: readonly number[]): PackedOrder {
  const rowLength = shape.slice(1).reduce((a, b) => a * b, 1);
  const inOrder = (length: number): Int32Array => Int32Array.from({ length }, (_, i) => i);
  if (packing.kind === 'plain') return { columns: inOrder(shape[0]), depth: inOrder(rowLength) };
  const taps = tapsOf(shape);
  const multiple = packing.kind === 'blocks' ? 4 : 8;
  const columns = new Int32Array(packedColumns(shape[0], packing.gate, packing.columns)).fill(-1);
  for (let row = 0; row < shape[0]; row++) columns[packedColumn(row, shape[0], packing.gate)] = row;
  const steps = packedLength(packing, shape) / columns.length;
  const depth = new Int32Array(steps).fill(-1);
  sumPositions(packing.sources, taps, multiple).forEach((step, position) => (depth[step] = position));
  return { columns, depth };
}
