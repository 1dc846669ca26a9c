/** @file Attention on subgroup matrices of heads that are too wide for a subgroup's registers: the one of VAEs has 512 channels. */

import source from '../../shaders/attention-wide.wgsl';
import type { NodeOf } from '../graph/ops.ts';
import { biasOf, HEAD_SIZES, headSizes, suitsMatrices } from './attention.ts';
import { defineKernel, fold, type KernelContext } from './kernel.ts';
import {
  inTileVector,
  inVector,
  MATRIX_LANES,
  matrixConstants,
  matrixShapeFor,
  widens,
  type MatrixShape,
} from './matrix-shape.ts';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';

/** How scores are shared out, in subgroups and matrices of each, by queries and keys; and what is staged at a time. */
interface Shape {
  readonly gm: number;
  readonly gn: number;
  readonly sm: number;
  readonly sn: number;
  /** Matrices of channels, of queries and keys. */
  readonly depth: number;
  /** Matrices of keys, of values. */
  readonly vn: number;
}

/** The best first; a later one makes more workgroups and takes less memory. */
function shapesFor({ elements, rows, columns }: MatrixShape): Shape[] {
  // Measured on no such GPU.
  if (rows === 8) {
    const vn = columns === 8 && elements === 'f16' ? 2 : 1;
    return [{ gm: 2, gn: 4, sm: 2, sn: 16 / columns, depth: 32 / columns, vn }];
  }
  return [
    { gm: 2, gn: 4, sm: 2, sn: 2, depth: 4, vn: 1 },
    { gm: 2, gn: 4, sm: 1, sn: 2, depth: 4, vn: 1 },
  ];
}

/** Workgroups that keep a large card busy: each takes the registers of a multiprocessor. */
const FULL = 100;

/** Registers limit how many sums a subgroup may keep. */
const MOST_SUMS = 4096;

/** What follows from a shape for heads of a size. */
interface Way {
  readonly matrix: MatrixShape;
  readonly shape: Shape;
  readonly name: string;
  readonly subgroups: number;
  readonly queries: number;
  readonly keys: number;
  /** Matrices of channels that a subgroup has sums of. */
  readonly columns: number;
}

function wayOf(shape: Shape, matrix: MatrixShape, headDim: number): Way {
  const { gm, gn, sm, sn, depth, vn } = shape;
  const subgroups = gm * gn;
  return {
    matrix,
    shape,
    name: `${gm}x${gn} ${sm}x${sn} ${depth} v${vn}`,
    subgroups,
    queries: gm * sm * matrix.rows,
    keys: gn * sn * matrix.columns,
    columns: Math.ceil(headDim / matrix.columns / subgroups),
  };
}

/** Bytes of the shader's workgroup memory. */
function storageBytes({ matrix, shape, subgroups, queries, keys, columns }: Way): number {
  const chunk = matrix.depth / inTileVector(matrix);
  const odd = (vectors: number): number => vectors | 1;
  const staged = (queries + keys) * odd(shape.depth * chunk);
  const weights = queries * odd(shape.gn * shape.sn * chunk);
  const values = shape.vn * matrix.columns * odd(subgroups * columns * chunk);
  const sums = subgroups * queries * (matrix.columns / 4);
  return 16 * Math.max(staged, queries * (keys / 4 + 1), weights + values, sums) + 4 * queries + 16;
}

/** Ways that this device can run: first the one that is taken unmeasured. */
function ways(node: NodeOf<'attention'>, context: KernelContext): Way[] {
  const matrix = matrixShapeFor(context.traits, context.dtypeOf(node.inputs.q));
  if (!matrix) return [];
  const { traits } = context;
  const fitting = shapesFor(matrix)
    .map((shape) => wayOf(shape, matrix, node.attrs.headDim))
    .filter(
      (way) =>
        storageBytes(way) <= traits.maxWorkgroupStorageBytes &&
        way.subgroups * MATRIX_LANES <= traits.maxInvocationsPerWorkgroup &&
        (way.queries / matrix.rows) * way.columns * matrix.rows * matrix.columns <= MOST_SUMS,
    );
  const first = fitting.find((way) => workgroupsOf(node, context, way) >= FULL) ?? fitting.at(-1);
  return first ? [first, ...fitting.filter((way) => way !== first)] : [];
}

/** The way that was chosen for a node, else the likeliest; undefined where there is none. */
function wayFor(node: NodeOf<'attention'>, context: KernelContext): Way | undefined {
  const all = ways(node, context);
  return all.find(({ name }) => name === context.variant) ?? all.at(0);
}

function workgroupsOf(node: NodeOf<'attention'>, context: KernelContext, way: Way): number {
  const [batch, queries] = context.shapeOf(node.inputs.q);
  return Math.ceil(queries / way.queries) * node.attrs.heads * batch;
}

export const attentionWide = defineKernel({
  id: 'attention-wide',
  ops: ['attention'],
  supports: (node, context) => suitsMatrices(node, context) && wayFor(node, context) !== undefined,
  variants: (node, context) => ways(node, context).map(({ name }) => name),
  price(node, context) {
    const way = wayFor(node, context)!;
    const { matrix, subgroups, queries, keys, columns } = way;
    const groups = workgroupsOf(node, context, way);
    const steps = Math.ceil(context.shapeOf(node.inputs.k)[1] / keys);
    const channels = matrix.columns * subgroups * columns;
    return {
      arithmetic: 'matrix',
      flops: 4 * groups * queries * steps * keys * channels,
      bytes:
        groups * steps * (queries + 2 * keys) * channels * DEVICE_DTYPE_BYTES[context.dtypeOf(node.inputs.q)],
      workgroups: groups,
      threads: MATRIX_LANES * subgroups,
      launches: 1,
    };
  },
  launches(node, context) {
    const { q, k } = node.inputs;
    const { heads, headDim, scale } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const way = wayFor(node, context)!;
    const { matrix, subgroups, columns } = way;
    const { gm, gn, sm, sn, depth, vn } = way.shape;
    const dtype = context.dtypeOf(q);
    const width = inVector(matrix, dtype);
    const threads = subgroups * MATRIX_LANES;
    const part = (depth * matrix.depth) / width;
    const parts = threads / way.queries;
    const loads = (vectors: number): number => Math.ceil(vectors / threads);
    const ragged = (vectors: number): boolean => vectors % threads !== 0;
    const values = (vn * matrix.columns * headDim) / width;
    const bias = biasOf(node, context);
    const tiles = Math.ceil(queries / way.queries);
    return [
      {
        name: 'attention-wide',
        source,
        constants: {
          SUBGROUPS: subgroups,
          GM: gm,
          GN: gn,
          SM: sm,
          SN: sn,
          RM: gm * sm,
          CN: columns,
          DEPTH: depth,
          VN: vn,
          ...matrixConstants(matrix, dtype, context.traits),
          QUARTERS: part === 4 && !widens(matrix, dtype),
          PARTS: parts,
          OCTETS: way.keys / parts / 8,
          D: headDim / width,
          HEAD_VECTORS: headDim / 4,
          PADDED: (headDim / width) % part !== 0,
          LOADS_Q: loads(way.queries * part),
          RAGGED_Q: ragged(way.queries * part),
          LOADS_K: loads(way.keys * part),
          RAGGED_K: ragged(way.keys * part),
          LOADS_V: loads(values),
          RAGGED_V: ragged(values),
          ...headSizes(node, context, width),
          SCALE: { float: scale },
          ...bias.constants,
        },
        uniforms: HEAD_SIZES,
        dims: { tiles, batch, queries, keys, ...bias.dims },
        workgroups: fold(tiles * heads * batch, context.traits),
      },
    ];
  },
});
