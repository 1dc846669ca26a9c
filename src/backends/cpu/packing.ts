/** @file The packings that need no arithmetic: plain f32, and bytes as they are stored. */

import {
  elementCount,
  WEIGHT_TYPE_BYTES,
  weightTypeCode,
  type StoredRows,
  type WeightPacking,
} from './kernel.ts';

/** Elements that a task of these packings moves. */
const CHUNK = 65536;

/** Row-major f32: what a weight becomes for a kernel that names no packing. */
export const PLAIN: WeightPacking = {
  key: 'plain',
  bytes: (shape) => 4 * elementCount(shape),
  launches: (part) => [widenRows(part)],
};

/** Row-major in the stored type, for kernels that widen what they read. */
export const STORED: WeightPacking = {
  key: 'stored',
  bytes: (shape, type) => WEIGHT_TYPE_BYTES[type] * elementCount(shape),
  launches({ type, shape, firstRow, rows }) {
    const rowBytes = WEIGHT_TYPE_BYTES[type] * elementCount(shape.slice(1));
    const bytes = rows * rowBytes;
    return [
      {
        name: 'copyBytes',
        tasks: Math.ceil(bytes / CHUNK),
        args: ['source', { operand: 'packed', offsetBytes: firstRow * rowBytes }, bytes, CHUNK],
      },
    ];
  },
};

function widenRows({ type, shape, firstRow, rows }: StoredRows) {
  const rowElements = elementCount(shape.slice(1));
  const count = rows * rowElements;
  return {
    name: 'widen',
    tasks: Math.ceil(count / CHUNK),
    args: [
      'source',
      { operand: 'packed', offsetBytes: 4 * firstRow * rowElements },
      count,
      CHUNK,
      weightTypeCode(type),
    ],
  };
}
