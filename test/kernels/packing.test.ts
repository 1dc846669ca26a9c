/** @file Weight packing: every stored element lands where the shaders look for it, and everything else is zero. */

import { describe, expect, test } from 'vitest';
import {
  isStoredOrder,
  packedBytes,
  packedColumns,
  packedDepth,
  packedLength,
  packInt8Rows,
  packRows,
  type FloatPacking,
} from '../../src/kernels/packing.ts';

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A weight whose elements are all different and not zero. */
const numbered = (shape: readonly number[]): Float32Array =>
  Float32Array.from({ length: count(shape) }, (_, i) => i + 1);

/** Packs a weight in two calls, as stacked weights are. */
function pack(packing: FloatPacking, shape: readonly number[], firstRows: number): Float32Array {
  const stored = numbered(shape);
  const rowLength = stored.length / shape[0];
  const target = new Float32Array(packedLength(packing, shape));
  packRows(packing, shape, stored.subarray(0, firstRows * rowLength), 0, target);
  packRows(packing, shape, stored.subarray(firstRows * rowLength), firstRows, target);
  return target;
}

interface Element {
  readonly out: number;
  readonly channel: number;
  readonly tap: number;
  readonly value: number;
}

function elements([outs, channels, ...kernel]: readonly number[]): Element[] {
  const taps = count(kernel);
  return Array.from({ length: outs * channels * taps }, (_, i) => ({
    out: Math.floor(i / (channels * taps)),
    channel: Math.floor(i / taps) % channels,
    tap: i % taps,
    value: i + 1,
  }));
}

/** Place of a channel in a padded tap. */
function padded(channel: number, sources: readonly number[], multiple: number): number {
  return channel < sources[0] ? channel : Math.ceil(sources[0] / multiple) * multiple + channel - sources[0];
}

/** Column of an output when value and gate columns alternate every `gate`. */
function columnOf(out: number, outs: number, gate: number): number {
  if (gate === 0) return out;
  const within = out % (outs / 2);
  return Math.floor(within / gate) * 2 * gate + (within % gate) + (out < outs / 2 ? 0 : gate);
}

const SHAPES = [
  { shape: [33, 7, 3, 3], sources: [7], gate: 0 },
  { shape: [20, 40, 3, 3], sources: [7, 33], gate: 0 },
  { shape: [90, 33], sources: [33], gate: 4 },
  { shape: [90, 33], sources: [33], gate: 64 },
  { shape: [3, 64, 1, 1], sources: [64], gate: 0 },
] as const;

describe.each(SHAPES)('$shape from $sources, gate $gate', ({ shape, sources, gate }) => {
  test('as 4x4 blocks', () => {
    const packed = pack({ kind: 'blocks', sources, gate, columns: 8 }, shape, 2);
    const vectors = packedColumns(shape[0], gate, 8) / 4;
    const tapDepth = packedDepth(1, sources, 4);
    for (const { out, channel, tap, value } of elements(shape)) {
      const k = tap * tapDepth + padded(channel, sources, 4);
      const n = columnOf(out, shape[0], gate);
      const block = Math.floor(k / 4) * vectors + Math.floor(n / 4);
      expect(packed[block * 16 + (k % 4) * 4 + (n % 4)]).toBe(value);
    }
    expect(packed.filter((value) => value !== 0)).toHaveLength(count(shape));
  });

  test('as rows', () => {
    const packed = pack({ kind: 'rows', sources, gate, columns: 16, depth: 32 }, shape, 1);
    const tapDepth = packedDepth(1, sources, 8);
    const pitch = Math.ceil((tapDepth * count(shape.slice(2))) / 32) * 32;
    for (const { out, channel, tap, value } of elements(shape)) {
      const k = tap * tapDepth + padded(channel, sources, 8);
      expect(packed[columnOf(out, shape[0], gate) * pitch + k]).toBe(value);
    }
    expect(packed.filter((value) => value !== 0)).toHaveLength(count(shape));
  });
});

test('plain weights stay as stored', () => {
  expect(pack({ kind: 'plain' }, [5, 3], 2)).toEqual(numbered([5, 3]));
});

test('rows of bytes are scaled one by one, gates beside their values', () => {
  const shape = [4, 64];
  const packing = { kind: 'int8', gate: 8, columns: 16 } as const;
  const target = new Uint8Array(packedBytes(packing, shape, 'f16'));
  expect(target.length).toBe(16 * 68);
  const stored = Float32Array.from({ length: 4 * 64 }, (_, i) => (Math.floor(i / 64) - 1) * ((i % 64) - 32));
  packInt8Rows(packing, shape, stored.subarray(0, 64), 0, target);
  packInt8Rows(packing, shape, stored.subarray(64), 1, target);
  const bytes = new Int8Array(target.buffer);
  const scales = new Float32Array(target.buffer, 16 * 64);
  // Values 0 and 1 are columns 0 and 1, their gates 8 and 9.
  [0, 1, 8, 9].forEach((column, row) => {
    for (let k = 0; k < 64; k++)
      expect(Math.abs(bytes[column * 64 + k] * scales[column] - stored[row * 64 + k])).toBeLessThanOrEqual(
        scales[column] / 2 + 1e-6,
      );
  });
  expect(scales[1]).toBe(0);
});

test.each([
  [true, [32, 64], { sources: [64], gate: 0, columns: 16, depth: 32 }],
  [false, [32, 64], { sources: [64], gate: 8, columns: 16, depth: 32 }],
  [false, [24, 64], { sources: [64], gate: 0, columns: 16, depth: 32 }],
  [false, [32, 40], { sources: [40], gate: 0, columns: 16, depth: 32 }],
  [false, [32, 64, 3, 3], { sources: [64], gate: 0, columns: 16, depth: 32 }],
])('%s: rows of %j as stored', (expected, shape, how) => {
  const packing = { kind: 'rows', ...how } as const;
  expect(isStoredOrder(packing, shape)).toBe(expected);
  const packed = pack(packing, shape, 16);
  const stored = numbered(shape);
  expect(packed.length === stored.length && packed.every((value, i) => value === stored[i])).toBe(expected);
});
