/**
 * @file How a product is cut into workgroups for subgroup matrices, and what each way should cost. The figures are those of one
 * H100 (Dawn/Vulkan, driver 580), where a wrong guess costs a tenth or two; autotuning tries the best few.
 */

import { chooseSplits, gemmSize, packedWidth, type GemmNode, type PartialSums } from './gemm.ts';
import type { KernelContext } from './kernel.ts';
import { packedDepth } from './packing.ts';

/** A matrix of 16 columns holds 8 values and their 8 gates. */
export const GATE = 8;

/** Elements of the sum that its packed length is a multiple of. */
export const STEP = 32;

/** What matrices hold; of bytes, twice as many of the sum fit a matrix and a vector of 16 bytes. */
export type MatrixElements = 'f16' | 'i8';

/** Matrices a subgroup and subgroups a workgroup, by rows and columns. */
interface Shape {
  readonly sm: number;
  readonly sn: number;
  readonly subgroupsM: number;
  readonly subgroupsN: number;
  /** Matrices of the sum staged at a time. */
  readonly depth: number;
  /** Microseconds that 32 elements of the sum take a workgroup: with its multiprocessor to itself, and its share of a full one. */
  readonly alone: number;
  readonly shared: number;
}

/** In order of preference: what large products run fastest on, then what fills the card with small ones. */
const SHAPES: readonly Shape[] = [
  { sm: 4, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.9, shared: 0.62 },
  { sm: 4, sn: 4, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.62, shared: 0.5 },
  { sm: 2, sn: 5, subgroupsM: 4, subgroupsN: 2, depth: 4, alone: 0.68, shared: 0.68 },
  { sm: 2, sn: 5, subgroupsM: 2, subgroupsN: 2, depth: 4, alone: 0.4, shared: 0.4 },
  { sm: 2, sn: 4, subgroupsM: 4, subgroupsN: 2, depth: 4, alone: 0.55, shared: 0.55 },
  { sm: 2, sn: 2, subgroupsM: 2, subgroupsN: 2, depth: 2, alone: 0.3, shared: 0.2 },
  { sm: 2, sn: 2, subgroupsM: 4, subgroupsN: 1, depth: 2, alone: 0.3, shared: 0.2 },
];

/** A shape is taken before faster ones if it costs at most this much more: the driver compiles each for a second. */
const TOLERANCE = 1.05;

/** Multiprocessors of the card, and workgroup memory that the driver lets a multiprocessor's workgroups have together. */
const PROCESSORS = 132;
const SHARED_BYTES = 49152;

/** Microseconds that a dispatch takes at least, that finishing a workgroup takes, and bytes of partial sums in one. */
const DISPATCH = 3.4;
const FINISH = 3;
const BYTES_PER_MICROSECOND = 2.5e6;

/** Tilings that autotuning may try. */
const MOST_VARIANTS = 8;

/** One way to run a node. */
export interface Tiling extends Shape {
  /** `4x5 2x2 2 k1`: matrices a subgroup, subgroups, matrices staged, parts of the sum. */
  readonly name: string;
  readonly rowsTile: number;
  readonly columnsTile: number;
  readonly groupsM: number;
  readonly groupsN: number;
  readonly steps: number;
  readonly parts: PartialSums;
  /** Microseconds that it should take. */
  readonly estimate: number;
}

function storageBytes({ sm, sn, subgroupsM, subgroupsN, depth }: Shape): number {
  const staged = (subgroupsM * sm + subgroupsN * sn) * 16 * (2 * depth + 1) * 16;
  return Math.max(staged, subgroupsM * subgroupsN * 16 * (sn * 4 + 1) * 16);
}

/** Microseconds for workgroups of so many steps: rounds that fill the card, then one with what is left. */
function roundsTime(shape: Shape, workgroups: number, steps: number): number {
  const resident = Math.max(1, Math.floor(SHARED_BYTES / storageBytes(shape)));
  const full = Math.floor(workgroups / (PROCESSORS * resident));
  const left = Math.ceil((workgroups - full * PROCESSORS * resident) / PROCESSORS);
  const round = (count: number): number =>
    count === 0 ? 0 : FINISH + (steps * shape.depth * Math.max(shape.alone, count * shape.shared)) / 2;
  return full * round(resident) + round(left);
}

/** Tilings of a node that fit the device, the one that should be fastest first. */
export function tilings(node: GemmNode, context: KernelContext, elements: MatrixElements = 'f16'): Tiling[] {
  const size = gemmSize(node, context);
  const columns = packedWidth(size, GATE, 16);
  const halves = packedDepth(size.taps, size.sources, 8) / (elements === 'i8' ? 2 : 1);
  const depth = Math.ceil(halves / STEP) * STEP;
  const make = (shape: Shape, wanted: number): Tiling => {
    const rowsTile = shape.sm * shape.subgroupsM * 16;
    const columnsTile = shape.sn * shape.subgroupsN * 16;
    const groupsM = Math.ceil(size.rows / rowsTile);
    const groupsN = Math.ceil(columns / columnsTile);
    const steps = depth / (16 * shape.depth);
    const splits = chooseSplits(groupsM * groupsN, steps, 16 / shape.depth, wanted);
    const parts = {
      splits,
      rows: groupsM * rowsTile,
      columns: groupsN * columnsTile,
      gate: size.gated ? GATE : 0,
    };
    const moved = 2 * 4 * splits * parts.rows * parts.columns;
    const reduction = splits > 1 ? DISPATCH + moved / BYTES_PER_MICROSECOND : 0;
    const rounds = roundsTime(shape, groupsM * groupsN * splits, Math.ceil(steps / splits));
    return {
      ...shape,
      name: `${shape.sm}x${shape.sn} ${shape.subgroupsM}x${shape.subgroupsN} ${shape.depth} k${splits}`,
      rowsTile,
      columnsTile,
      groupsM,
      groupsN,
      steps,
      parts,
      estimate: DISPATCH + rounds + reduction,
    };
  };
  const fitting = SHAPES.filter(
    (shape) =>
      depth % (16 * shape.depth) === 0 && storageBytes(shape) <= context.traits.maxWorkgroupStorageBytes,
  );
  // Partial sums are f32 numbers.
  const fills = elements === 'i8' ? [0] : [0, 1, 2, 4];
  const made = fitting.flatMap((shape) => fills.map((times) => make(shape, times * PROCESSORS)));
  const different = [...new Map(made.map((tiling) => [tiling.name, tiling])).values()];
  const least = Math.min(...different.map(({ estimate }) => estimate));
  const first = different.find(({ estimate }) => estimate <= TOLERANCE * least);
  return different
    .sort((a, b) => Number(b === first) - Number(a === first) || a.estimate - b.estimate)
    .slice(0, MOST_VARIANTS);
}

/** The tiling that was chosen for a node, else the one that should be fastest. */
export function tilingOf(node: GemmNode, context: KernelContext, elements?: MatrixElements): Tiling {
  const all = tilings(node, context, elements);
  return all.find(({ name }) => name === context.variant) ?? all[0];
}
