/**
 * @file How a product is cut into workgroups for subgroup matrices, and what each way should cost. The figures for 16x16 matrices
 * are those of one H100 (Dawn/Vulkan, driver 580), where a wrong guess costs a tenth or two; autotuning tries the best few.
 */

import { predictMs, speedsOf, type Price } from './cost.ts';
import {
  chooseSplits,
  gemmPrice,
  gemmSize,
  packedWidth,
  partialBytes,
  type GemmNode,
  type GemmSize,
  type PartialSums,
} from './gemm.ts';
import { channelsOf, type KernelContext } from './kernel.ts';
import { inTileVector, MATRIX_LANES, type MatrixShape } from './matrix-shape.ts';
import { packedDepth } from './packing.ts';

/** Columns after which values and gates alternate: a matrix holds half of each. */
export function gateOf({ columns }: MatrixShape): number {
  return columns / 2;
}

/** Whether a product's columns fill no vectors of 4, as the three of a picture. */
export function isNarrow(node: GemmNode, context: KernelContext): boolean {
  return channelsOf(context, node.output) % 4 !== 0;
}

/** Elements of the sum that its packed length is a multiple of. */
export const STEP = 32;

/** Matrices a subgroup and subgroups a workgroup, by rows and columns. */
interface Shape {
  readonly sm: number;
  readonly sn: number;
  readonly subgroupsM: number;
  readonly subgroupsN: number;
  /** Matrices of the sum staged at a time. */
  readonly depth: number;
  /** Groups of subgroups that share those out, if not one. */
  readonly groups?: number;
}

/** A shape that was timed. */
interface TimedShape extends Shape {
  /** Microseconds that 32 elements of the sum take a workgroup: with its multiprocessor to itself, and its share of a full one. */
  readonly alone: number;
  readonly shared: number;
}

/** Of 16x16 matrices in order of preference: what large products run fastest on, then what fills the card with small ones. */
const TIMED_SHAPES: readonly TimedShape[] = [
  { sm: 4, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.713, shared: 0.578 },
  { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.638, shared: 0.485 },
  { sm: 4, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 4, groups: 2, alone: 0.591, shared: 0.584 },
  { sm: 2, sn: 5, subgroupsM: 4, subgroupsN: 2, depth: 4, alone: 0.647, shared: 0.645 },
  { sm: 2, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 4, groups: 2, alone: 0.446, shared: 0.41 },
  { sm: 2, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 4, alone: 0.389, shared: 0.386 },
  { sm: 2, sn: 4, subgroupsM: 4, subgroupsN: 2, depth: 4, alone: 0.551, shared: 0.542 },
  { sm: 1, sn: 5, subgroupsM: 4, subgroupsN: 1, depth: 8, groups: 2, alone: 0.235, shared: 0.235 },
  { sm: 1, sn: 5, subgroupsM: 4, subgroupsN: 1, depth: 8, alone: 0.258, shared: 0.258 },
  { sm: 2, sn: 2, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.391, shared: 0.227 },
  { sm: 4, sn: 1, subgroupsM: 4, subgroupsN: 1, depth: 2, alone: 0.38, shared: 0.38 },
];

/** Of 8x16 matrices, and a GPU like those that have them (not measured: the cost model orders them). */
const WIDE = {
  vendor: 'intel',
  processors: 20,
  shapes: [
    { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 2, depth: 2 },
    { sm: 4, sn: 2, subgroupsM: 2, subgroupsN: 2, depth: 2 },
    { sm: 2, sn: 4, subgroupsM: 2, subgroupsN: 1, depth: 2 },
    { sm: 2, sn: 2, subgroupsM: 2, subgroupsN: 2, depth: 2 },
  ],
};

/** Of 8x8 matrices, likewise. */
const SMALL = {
  vendor: 'apple',
  processors: 38,
  shapes: [
    { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 2, depth: 4 },
    { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 1, depth: 4 },
    { sm: 2, sn: 4, subgroupsM: 2, subgroupsN: 2, depth: 4 },
  ],
};

/** A shape is taken before faster ones if it costs at most this much more: the driver compiles each for a second. */
const TOLERANCE = 1.03;

/** Multiprocessors of the card, and workgroup memory that the driver lets a multiprocessor's workgroups have together. */
const PROCESSORS = 132;
const SHARED_BYTES = 49152;

/** Microseconds that a dispatch takes at least, and bytes of partial sums in one. */
const DISPATCH = 3;
const BYTES_PER_MICROSECOND = 3.8e6;

/** Elements of the sum that a part of it must have. */
const LEAST_PART = 256;

/** Tilings that autotuning may try. */
const MOST_VARIANTS = 8;

/** One way to run a node. */
export interface Tiling extends Shape {
  /** `4x5 2x2 2 k1`: matrices a subgroup, subgroups, matrices staged, groups (`g2`), parts of the sum, `apart`. */
  readonly name: string;
  /** The name without what `Dims` can tell the shader. */
  readonly shape: string;
  readonly groups: number;
  readonly rowsTile: number;
  readonly columnsTile: number;
  readonly groupsM: number;
  readonly groupsN: number;
  readonly steps: number;
  readonly parts: PartialSums;
  /** Microseconds that it should take. */
  readonly estimate: number;
}

function storageBytes(
  { sm, sn, subgroupsM, subgroupsN, depth, groups = 1 }: Shape,
  matrix: MatrixShape,
): number {
  const { rows, columns } = matrix;
  const pitch = (depth * matrix.depth) / inTileVector(matrix) + 1;
  const staged = (subgroupsM * sm * rows + subgroupsN * sn * columns) * pitch * 16;
  const finished = groups * subgroupsM * subgroupsN * rows * ((sn * columns) / 4 + 1) * 16;
  const biases = ((subgroupsN * sn * columns) / 4) * 16;
  return Math.max(staged, finished) + biases;
}

/** Microseconds that starting and finishing a workgroup takes: a lane adds up its groups' sums, loads what is added, and stores. */
function ends({ sm, sn, groups = 1 }: Shape, { rows, columns }: MatrixShape, adds: boolean): number {
  const sums = (sm * sn * rows * columns) / MATRIX_LANES / groups;
  return 0.2 + 0.052 * sums * (adds ? 2 : 1) * (groups > 1 ? 1.2 : 1);
}

/** Microseconds for workgroups of so many steps: rounds that fill the card, then one with what is left. */
function roundsTime(
  shape: TimedShape,
  matrix: MatrixShape,
  workgroups: number,
  steps: number,
  adds: boolean,
): number {
  const resident = Math.max(1, Math.floor(SHARED_BYTES / storageBytes(shape, matrix)));
  const full = Math.floor(workgroups / (PROCESSORS * resident));
  const left = Math.ceil((workgroups - full * PROCESSORS * resident) / PROCESSORS);
  const round = (count: number): number =>
    count === 0
      ? 0
      : ends(shape, matrix, adds) + (steps * shape.depth * Math.max(shape.alone, count * shape.shared)) / 2;
  return full * round(resident) + round(left);
}

/** The work of a tiling. */
export function tilingPrice(
  node: GemmNode,
  context: KernelContext,
  matrix: MatrixShape,
  tiling: Tiling,
): Price {
  const threads = MATRIX_LANES * tiling.groups * tiling.subgroupsM * tiling.subgroupsN;
  const price = gemmPrice(node, context, tiling, tiling.parts, { arithmetic: 'matrix', threads });
  // A byte takes half of what an f16 does, of arithmetic too; its rows take a launch of their own.
  return matrix.elements === 'i8'
    ? { ...price, flops: price.flops / 2, bytes: price.bytes / 2, launches: price.launches + 1 }
    : price;
}

/** What was found, by what it depends on: planning asks some times for each node, and many are alike. */
const found = new Map<string, readonly Tiling[]>();
const MOST_FOUND = 1000;

/** Whether a node's activation is compiled into shaders that finish their own sums. */
export function isActivated({ attrs: { activation } }: GemmNode): boolean {
  return activation !== 'none' && activation !== 'geglu';
}

/** Tilings of a node that fit the device, the one that should be fastest first. */
export function tilings(node: GemmNode, context: KernelContext, matrix: MatrixShape): readonly Tiling[] {
  const size = gemmSize(node, context);
  const { maxWorkgroupStorageBytes } = context.traits;
  const dtype = context.dtypeOf(node.inputs.weight);
  const adds = node.inputs.residual !== undefined;
  const key = JSON.stringify([size, matrix, dtype, maxWorkgroupStorageBytes, isActivated(node), adds]);
  const known = found.get(key);
  if (known) return known;
  if (found.size >= MOST_FOUND) found.clear();
  const made = findTilings(node, context, matrix, size);
  found.set(key, made);
  return made;
}

function findTilings(node: GemmNode, context: KernelContext, matrix: MatrixShape, size: GemmSize): Tiling[] {
  const columns = packedWidth(size, gateOf(matrix), 16);
  const multiple = Math.max(STEP, 2 * matrix.depth);
  const depth = Math.ceil(packedDepth(size.taps, size.sources, 8) / multiple) * multiple;
  const tile = (shape: Shape, wanted: number, apart: boolean): Omit<Tiling, 'estimate'> => {
    const rowsTile = shape.sm * shape.subgroupsM * matrix.rows;
    const columnsTile = shape.sn * shape.subgroupsN * matrix.columns;
    const groupsM = Math.ceil(size.rows / rowsTile);
    const groupsN = Math.ceil(columns / columnsTile);
    const stepDepth = matrix.depth * shape.depth;
    const steps = depth / stepDepth;
    const splits = chooseSplits(groupsM * groupsN, steps, LEAST_PART / stepDepth, wanted);
    const parts = {
      splits,
      rows: groupsM * rowsTile,
      columns: groupsN * columnsTile,
      gate: size.gated ? gateOf(matrix) : 0,
      apart,
    };
    const { groups = 1 } = shape;
    const words = `${shape.sm}x${shape.sn} ${shape.subgroupsM}x${shape.subgroupsN} ${shape.depth}${groups > 1 ? ` g${groups}` : ''}`;
    const name = `${words} k${splits}${apart ? ' apart' : ''}`;
    return { ...shape, groups, name, shape: words, rowsTile, columnsTile, groupsM, groupsN, steps, parts };
  };
  const family = matrix.rows === 16 ? undefined : matrix.columns === 16 ? WIDE : SMALL;
  // Partial sums are f32 numbers, in vectors of 4.
  const mayGoApart = matrix.elements !== 'i8' && !isNarrow(node, context);
  const fills = mayGoApart ? [0, 1, 2, 4] : [0];
  const make = <S extends Shape>(
    shapes: readonly S[],
    processors: number,
    estimate: (shape: S, tiling: Omit<Tiling, 'estimate'>) => number,
  ): Tiling[] =>
    shapes
      .filter(
        (shape) =>
          depth % (matrix.depth * shape.depth) === 0 &&
          (matrix.rows * shape.sn * matrix.columns) %
            (MATRIX_LANES * (shape.groups ?? 1) * (size.gated ? 8 : 4)) ===
            0 &&
          storageBytes(shape, matrix) <= context.traits.maxWorkgroupStorageBytes,
      )
      .flatMap((shape) => [
        ...(shape.groups === undefined ? fills : [0]).map(
          (times) => [shape, tile(shape, times * processors, false)] as const,
        ),
        // With partial sums' shader and one that knows all activations, seldom ones need none of their own.
        ...(shape.groups === undefined && mayGoApart && isActivated(node)
          ? [[shape, tile(shape, 0, true)] as const]
          : []),
      ])
      .map(([shape, tiling]) => ({ ...tiling, estimate: estimate(shape, tiling) }));
  const made = family
    ? make(family.shapes, family.processors, (_shape, tiling) => {
        const price = tilingPrice(node, context, matrix, { ...tiling, estimate: 0 });
        return 1000 * predictMs(price, speedsOf(family.vendor));
      })
    : make(TIMED_SHAPES, PROCESSORS, (shape, { groupsM, groupsN, steps, parts }) => {
        const { splits } = parts;
        const [bytes] = partialBytes(parts);
        const reduction = bytes === undefined ? 0 : DISPATCH + (2 * bytes) / BYTES_PER_MICROSECOND;
        const adds = node.inputs.residual !== undefined && bytes === undefined;
        const rounds = roundsTime(shape, matrix, groupsM * groupsN * splits, Math.ceil(steps / splits), adds);
        return DISPATCH + rounds + reduction;
      });
  const different = [...new Map(made.map((tiling) => [tiling.name, tiling])).values()];
  const least = Math.min(...different.map(({ estimate }) => estimate));
  const first = different.find(({ estimate }) => estimate <= TOLERANCE * least);
  return different.sort((a, b) => Number(b === first) - Number(a === first) || a.estimate - b.estimate);
}

/** Names of the tilings that autotuning may try. */
export function variantNames(all: readonly Tiling[]): string[] {
  return all.slice(0, MOST_VARIANTS).map(({ name }) => name);
}

/** The tiling that was chosen for a node, else the one that should be fastest. */
export function tilingOf(node: GemmNode, context: KernelContext, matrix: MatrixShape): Tiling {
  const all = tilings(node, context, matrix);
  return all.find(({ name }) => name === context.variant) ?? all[0];
}
