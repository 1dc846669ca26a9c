/** @file Attention on subgroup matrices: the fast kernel of GPUs that have them. */

import source from '../../shaders/attention-matrix.wgsl';
import type { NodeOf } from '../graph/ops.ts';
import { biasOf, HEAD_SIZES, headSizes, suitsMatrices } from './attention.ts';
import { defineKernel, fold, type KernelContext } from './kernel.ts';
import {
  inTileVector,
  inVector,
  MATRIX_LANES,
  matrixConstants,
  matrixShapeFor,
  type MatrixShape,
} from './matrix-shape.ts';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';

/** Matrices of queries a subgroup, subgroups a workgroup, matrices of keys a step. */
interface Shape {
  readonly qm: number;
  readonly subgroups: number;
  readonly kn: number;
}

/** Matrices that hold a head's channels. */
function headMatrices({ attrs }: NodeOf<'attention'>, { columns }: MatrixShape): number {
  return Math.ceil(attrs.headDim / columns);
}

/** Shapes for a head of some matrices, the best first; the later ones make more workgroups and take less memory. */
function shapesFor(matrices: number, { rows, columns }: MatrixShape): Shape[] {
  // Measured on no such GPU: the same numbers of queries and keys as NVIDIA's.
  if (rows === 8)
    return [4, 2].flatMap((qm) => [4, 2].map((subgroups) => ({ qm, subgroups, kn: columns === 16 ? 2 : 4 })));
  const small: Shape[] = [
    { qm: 1, subgroups: 4, kn: 2 },
    { qm: 1, subgroups: 2, kn: 2 },
  ];
  if (matrices > 5) return small;
  if (matrices === 5)
    return [
      { qm: 1, subgroups: 8, kn: 2 },
      { qm: 2, subgroups: 4, kn: 2 },
      { qm: 2, subgroups: 2, kn: 2 },
      ...small,
    ];
  const wide = { qm: 2, subgroups: 4, kn: 1 };
  if (matrices === 4) return [wide, ...small];
  return [{ qm: 2, subgroups: 8, kn: 1 }, { qm: 2, subgroups: 4, kn: 2 }, wide, ...small];
}

/** Workgroups that are enough: with more but smaller ones, the few launches of fewer would gain less than a pipeline costs. */
const FULL = 16;

/** Registers limit how many sums a subgroup may keep, beside as many elements of queries. */
const MOST_SUMS = { f16: 3072, f32: 1536, i8: 0 };

/** Lanes that share a row of scores. */
function lanesOfRow({ qm }: Shape, { rows }: MatrixShape): number {
  return MATRIX_LANES / (qm * rows);
}

/** Whether weights take the place of their scores: where they are as large, or a lane has a row of them to itself. */
function weighsInPlace(shape: Shape, matrix: MatrixShape): boolean {
  return matrix.elements === 'f32' || lanesOfRow(shape, matrix) === 1;
}

/** Bytes of the shader's workgroup memory. */
function storageBytes(shape: Shape, matrices: number, matrix: MatrixShape): number {
  const { qm, subgroups, kn } = shape;
  const { rows, columns } = matrix;
  const chunk = matrix.depth / inTileVector(matrix);
  const odd = (vectors: number): number => vectors | 1;
  const held = subgroups * qm * rows;
  const weights = weighsInPlace(shape, matrix) ? 0 : held * odd(kn * chunk);
  const pitch = odd(matrices * chunk);
  const vectors = 2 * (kn * columns * pitch + 1) + held * ((kn * columns) / 4 + 1) + weights;
  return 16 * Math.max(vectors, subgroups * rows * pitch) + 16;
}

function nameOf({ qm, subgroups, kn }: Shape): string {
  return `${qm}x${subgroups}x${kn}`;
}

function matrixOf(node: NodeOf<'attention'>, context: KernelContext): MatrixShape | undefined {
  return matrixShapeFor(context.traits, context.dtypeOf(node.inputs.q));
}

/** Queries of a workgroup. */
function queriesOf({ qm, subgroups }: Shape, { rows }: MatrixShape): number {
  return qm * rows * subgroups;
}

/** Shapes that this device can run: first the one that is taken unmeasured. */
function fittingShapes(node: NodeOf<'attention'>, context: KernelContext): Shape[] {
  const matrix = matrixOf(node, context);
  if (!matrix) return [];
  const matrices = headMatrices(node, matrix);
  const [batch, queries] = context.shapeOf(node.inputs.q);
  const fitting = shapesFor(matrices, matrix).filter(
    (shape) =>
      storageBytes(shape, matrices, matrix) <= context.traits.maxWorkgroupStorageBytes &&
      shape.qm * matrices * matrix.rows * matrix.columns <= MOST_SUMS[matrix.elements],
  );
  const groups = (shape: Shape): number =>
    Math.ceil(queries / queriesOf(shape, matrix)) * node.attrs.heads * batch;
  const first = fitting.find((shape) => groups(shape) >= FULL) ?? fitting.at(-1);
  return first ? [first, ...fitting.filter((shape) => shape !== first)] : [];
}

/** How a node is run: its matrices, and the shape that was chosen, else the likeliest. Undefined where it cannot be. */
function wayFor(
  node: NodeOf<'attention'>,
  context: KernelContext,
): { readonly matrix: MatrixShape; readonly shape: Shape } | undefined {
  const matrix = matrixOf(node, context);
  const shapes = fittingShapes(node, context);
  const shape = shapes.find((fitting) => nameOf(fitting) === context.variant) ?? shapes[0];
  return matrix && shape ? { matrix, shape } : undefined;
}

export const attentionMatrix = defineKernel({
  id: 'attention-matrix',
  ops: ['attention'],
  supports: (node, context) => suitsMatrices(node, context) && wayFor(node, context) !== undefined,
  variants: (node, context) => fittingShapes(node, context).map(nameOf),
  price(node, context) {
    const { q, k } = node.inputs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const { matrix, shape } = wayFor(node, context)!;
    const groups = Math.ceil(queries / queriesOf(shape, matrix)) * node.attrs.heads * batch;
    const channels = matrix.columns * headMatrices(node, matrix);
    const step = matrix.columns * shape.kn;
    const padded = Math.ceil(keys / step) * step;
    return {
      arithmetic: 'matrix',
      flops: 4 * groups * queriesOf(shape, matrix) * padded * channels,
      bytes: 2 * groups * padded * channels * DEVICE_DTYPE_BYTES[context.dtypeOf(q)],
      workgroups: groups,
      threads: MATRIX_LANES * shape.subgroups,
      launches: 1,
    };
  },
  launches(node, context) {
    const { q, k } = node.inputs;
    const { heads, headDim, scale } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const { matrix, shape } = wayFor(node, context)!;
    const { qm, subgroups, kn } = shape;
    const dtype = context.dtypeOf(q);
    const width = inVector(matrix, dtype);
    const parts = lanesOfRow(shape, matrix);
    const bias = biasOf(node, context);
    const tiles = Math.ceil(queries / queriesOf(shape, matrix));
    return [
      {
        name: 'attention-matrix',
        source,
        constants: {
          QM: qm,
          SUBGROUPS: subgroups,
          KN: kn,
          ...matrixConstants(matrix, dtype, context.traits),
          PARTS: parts,
          OCTETS: (kn * matrix.columns) / parts / 8,
          IN_PLACE: weighsInPlace(shape, matrix),
          DM: headMatrices(node, matrix),
          D: headDim / width,
          HEAD_VECTORS: headDim / 4,
          PADDED: headDim % matrix.depth !== 0,
          // Rows of matrices overlap, but no row lies within another.
          CLOSE: headDim % matrix.depth !== 0 && headDim > matrix.depth,
          LOADS: Math.ceil((kn * matrix.columns * headDim) / width / (subgroups * MATRIX_LANES)),
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
