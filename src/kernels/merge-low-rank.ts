/**
 * @file How weights are packed on the device, when they are loaded and when low-rank adapters change: which can be, and what
 * the shader is told.
 */

import source from '../../shaders/merge-low-rank.wgsl';
import { STORED_DTYPES, type FloatDType, type StoredDType } from '../tensor/dtype.ts';
import { packedOrder, type Packing } from './packing.ts';
import { elementCount } from './kernel.ts';
import { assembleShader, type Shader } from './wgsl.ts';

/** Stored types that the shader reads. */
const STORED = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const;

/** A place of a table that no stored element belongs to. */
export const NONE = 0xffffffff;

/** A weight that the shader can rebuild. */
export interface MergeableWeight {
  readonly packing: Packing;
  /** Shape of the whole weight, as torch has it. */
  readonly shape: readonly number[];
  readonly dtype: FloatDType;
  /** Stored types of its parts, which are stacked along the first axis, and their rows. */
  readonly stored: readonly StoredDType[];
  readonly rows: readonly number[];
}

/** What decides how a weight is rebuilt, besides its buffers. */
export interface MergePlan {
  readonly shader: Shader;
  /** By the names of the shader's `Dims`. */
  readonly dims: Readonly<Record<string, number>>;
  /** The shader's `tables`. */
  readonly tables: Uint32Array<ArrayBuffer>;
  readonly baseBytes: number;
}

/** Makes plans, once for all weights that are alike; see `planMerge`. */
export function mergePlans(adapted: boolean): (weight: MergeableWeight) => MergePlan | undefined {
  const plans = new Map<string, MergePlan | undefined>();
  return (weight) => {
    const key = JSON.stringify(weight);
    if (!plans.has(key)) plans.set(key, planMerge(weight, adapted));
    return plans.get(key);
  };
}

/**
 * How to make a packed weight of stored ones on the device; undefined where that has to be left to the host.
 * @param adapted whether adapters may change it
 */
function planMerge(
  { packing, shape, dtype, stored, rows }: MergeableWeight,
  adapted: boolean,
): MergePlan | undefined {
  if (packing.kind === 'int8') return undefined;
  const type = STORED.find((name) => name === stored[0]);
  if (type === undefined || stored.some((other) => other !== type)) return undefined;
  const rowLength = elementCount(shape.slice(1));
  // A block of 4 columns is of one part, and 4 steps of one row; gated columns are out of order, so of one part.
  const isAligned = rows.slice(0, -1).every((count) => count % 4 === 0);
  const order = packedOrder(packing, shape);
  if (
    !isAligned ||
    order.depth.length % 4 !== 0 ||
    (packing.kind !== 'plain' && packing.gate > 0 && rows.length > 1)
  )
    return undefined;
  const columnBlocks = Math.ceil(order.columns.length / 4);
  const depthBlocks = order.depth.length / 4;
  const tables = new Uint32Array(columnBlocks * 5 + order.depth.length);
  tables.fill(NONE, 0, columnBlocks * 4);
  tables.set(
    order.columns.map((row) => (row < 0 ? NONE : row)),
    0,
  );
  let part = 0;
  let end = rows[0];
  for (let block = 0; block < columnBlocks; block++) {
    if (block * 4 >= end && part + 1 < rows.length) end += rows[++part];
    tables[columnBlocks * 4 + block] = part;
  }
  tables.set(
    order.depth.map((position) => (position < 0 ? NONE : position)),
    columnBlocks * 5,
  );
  return {
    shader: assembleShader(
      'merge-low-rank',
      source,
      {
        LAYOUT: packing.kind === 'blocks' ? 'blocks' : 'rows',
        STORED: type,
        HALF: dtype === 'f16',
        TERMS: adapted,
      },
      {},
    ),
    dims: {
      blocks: columnBlocks * depthBlocks,
      columnBlocks,
      depthBlocks,
      columns: order.columns.length,
      rowLength,
    },
    tables,
    baseBytes: elementCount(shape) * STORED_DTYPES[type],
  };
}
