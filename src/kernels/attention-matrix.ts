/** @file Attention on subgroup matrices of 16x16x16 f16: the fast kernel of NVIDIA cards. */

import source from '../../shaders/attention-matrix.wgsl';
import type { NodeOf } from '../graph/ops.ts';
import { biasOf } from './attention.ts';
import { channelsOf, defineKernel, fold, type KernelContext } from './kernel.ts';

/** Matrices of queries a subgroup, subgroups a workgroup, matrices of keys a step. */
interface Shape {
  readonly qm: number;
  readonly subgroups: number;
  readonly kn: number;
}

/** Matrices that hold a head's channels. */
function headMatrices({ attrs }: NodeOf<'attention'>): number {
  return Math.ceil(attrs.headDim / 16);
}

/** Shapes for a head of some matrices, the best first; the later ones make more workgroups and take less memory. */
function shapesFor(matrices: number): Shape[] {
  const small: Shape[] = [
    { qm: 1, subgroups: 4, kn: 2 },
    { qm: 1, subgroups: 2, kn: 2 },
  ];
  if (matrices > 5) return small;
  if (matrices === 5) return [{ qm: 2, subgroups: 2, kn: 2 }, ...small];
  const wide = { qm: 2, subgroups: 4, kn: 1 };
  return matrices <= 3 ? [{ qm: 2, subgroups: 8, kn: 1 }, wide, ...small] : [wide, ...small];
}

/** Workgroups that keep a large card busy. */
const FULL = 64;

/** Registers limit how many matrices of queries, and of sums, a subgroup may keep. */
const MOST_MATRICES = 12;

/** Passed as uniforms: the driver takes about a second to compile each variant. */
const SIZES = ['HEADS', 'Q_VECTORS', 'K_VECTORS', 'V_VECTORS', 'Q_OFFSET', 'K_OFFSET', 'V_OFFSET'];

/** Whether weights take the place of their scores: where a lane has a row of them to itself. */
function weighsInPlace(qm: number): boolean {
  return qm === 2;
}

/** Bytes of the shader's workgroup memory. */
function storageBytes({ qm, subgroups, kn }: Shape, matrices: number): number {
  const rows = subgroups * qm * 16;
  const weights = weighsInPlace(qm) ? 0 : rows * (2 * kn + 1);
  const vectors = 2 * kn * 16 * (2 * matrices + 1) + rows * (4 * kn + 1) + weights;
  return 16 * Math.max(vectors, subgroups * 16 * (2 * matrices + 1)) + 4 * rows + 16;
}

function nameOf({ qm, subgroups, kn }: Shape): string {
  return `${qm}x${subgroups}x${kn}`;
}

/** Shapes that this device can run: first the one that is taken unmeasured. */
function fittingShapes(node: NodeOf<'attention'>, context: KernelContext): Shape[] {
  const matrices = headMatrices(node);
  const [batch, queries] = context.shapeOf(node.inputs.q);
  const fitting = shapesFor(matrices).filter(
    (shape) =>
      storageBytes(shape, matrices) <= context.traits.maxWorkgroupStorageBytes &&
      shape.qm * matrices <= MOST_MATRICES,
  );
  const groups = ({ qm, subgroups }: Shape): number =>
    Math.ceil(queries / (16 * qm * subgroups)) * node.attrs.heads * batch;
  const first = fitting.find((shape) => groups(shape) >= FULL) ?? fitting.at(-1);
  return first ? [first, ...fitting.filter((shape) => shape !== first)] : [];
}

function shapeFor(node: NodeOf<'attention'>, context: KernelContext): Shape | undefined {
  const shapes = fittingShapes(node, context);
  return shapes.find((shape) => nameOf(shape) === context.variant) ?? shapes[0];
}

export const attentionMatrix = defineKernel({
  id: 'attention-matrix',
  ops: ['attention'],
  supports(node, context) {
    const { q, k, v } = node.inputs;
    const { headDim, offsets, causal, scale } = node.attrs;
    const { subgroupMatrix, subgroupSize } = context.traits;
    return (
      subgroupMatrix &&
      subgroupSize === 32 &&
      !causal &&
      scale > 0 &&
      [q, k, v, node.output].every((value) => context.dtypeOf(value) === 'f16') &&
      [headDim, ...offsets, ...[q, k, v].map((id) => channelsOf(context, id))].every(
        (count) => count % 8 === 0,
      ) &&
      shapeFor(node, context) !== undefined
    );
  },
  variants: (node, context) => fittingShapes(node, context).map(nameOf),
  price(node, context) {
    const { q, k } = node.inputs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const { qm, subgroups, kn } = shapeFor(node, context)!;
    const groups = Math.ceil(queries / (16 * qm * subgroups)) * node.attrs.heads * batch;
    const channels = 16 * headMatrices(node);
    const padded = Math.ceil(keys / (16 * kn)) * 16 * kn;
    return {
      arithmetic: 'matrix',
      flops: 4 * groups * 16 * qm * subgroups * padded * channels,
      bytes: 4 * groups * padded * channels,
      workgroups: groups,
      threads: 32 * subgroups,
      launches: 1,
    };
  },
  launches(node, context) {
    const { q, k, v } = node.inputs;
    const { heads, headDim, scale, offsets } = node.attrs;
    const [batch, queries] = context.shapeOf(q);
    const [, keys] = context.shapeOf(k);
    const { qm, subgroups, kn } = shapeFor(node, context)!;
    const bias = biasOf(node, context);
    const tiles = Math.ceil(queries / (16 * qm * subgroups));
    return [
      {
        name: 'attention-matrix',
        source,
        constants: {
          QM: qm,
          SUBGROUPS: subgroups,
          KN: kn,
          OCTETS: qm * kn,
          IN_PLACE: weighsInPlace(qm),
          DM: headMatrices(node),
          D: headDim / 8,
          PADDED: headDim % 16 !== 0,
          LOADS: Math.ceil((kn * 16 * headDim) / 8 / (subgroups * 32)),
          HEADS: heads,
          Q_VECTORS: channelsOf(context, q) / 8,
          K_VECTORS: channelsOf(context, k) / 8,
          V_VECTORS: channelsOf(context, v) / 8,
          Q_OFFSET: offsets[0] / 8,
          K_OFFSET: offsets[1] / 8,
          V_OFFSET: offsets[2] / 8,
          SCALE: { float: scale },
          ...bias.constants,
        },
        uniforms: SIZES,
        dims: { tiles, batch, queries, keys, ...bias.dims },
        workgroups: fold(tiles * heads * batch, context.traits),
      },
    ];
  },
});
