/** @file What `merge-low-rank` is told of adapters: their factors in the order of a packed weight, and which of them count how much. */

import type { LowRankFactors, LowRankSum } from '../backend.ts';
import { NONE, type MergePlan } from '../../kernels/merge-low-rank.ts';

/** Words of a vector of four, of which the shader's `terms` are made. */
const VECTOR = 4;

/** A part of a weight: columns of its own. */
interface MergePart {
  /** Its first four columns, and how many fours they are; padding behind the last part is its own. */
  readonly first: number;
  readonly blocks: number;
  /** Its first row among those of the whole weight. */
  readonly firstRow: number;
}

const known = new WeakMap<MergePlan, readonly MergePart[]>();

/** The parts of a weight, as the shader's `tables` tell them. */
function partsOf(plan: MergePlan): readonly MergePart[] {
  const parts = known.get(plan) ?? findParts(plan);
  known.set(plan, parts);
  return parts;
}

function findParts({ tables, dims }: MergePlan): MergePart[] {
  const { columnBlocks } = dims;
  const partOf = tables.subarray(columnBlocks * VECTOR, columnBlocks * (VECTOR + 1));
  const count = partOf[columnBlocks - 1] + 1;
  return Array.from({ length: count }, (_, part) => {
    const first = partOf.indexOf(part);
    // Rows of several parts are in their order; gated ones are not, but of one part.
    const firstRow = part === 0 ? 0 : tables[first * VECTOR];
    return { first, blocks: partOf.lastIndexOf(part) + 1 - first, firstRow };
  });
}

/** Where factors are among the shader's `terms`, in vectors. */
export interface FactorsPlace {
  readonly up: number;
  readonly down: number;
  /** Behind both. */
  readonly end: number;
}

/** The vectors that factors of a part take from `at` on. */
export function placeFactors(plan: MergePlan, part: number, rank: number, at: number): FactorsPlace {
  const down = at + rank * partsOf(plan)[part].blocks;
  return { up: at, down, end: down + rank * plan.dims['depthBlocks'] };
}

/** The vectors in front of all factors: one for each part, and one for each of the layers that may be added. */
export function headVectors(plan: MergePlan, layers: number): number {
  return partsOf(plan).length + layers;
}

/** Up [rank][columns of the part], then down [rank][steps], as `placeFactors` has them. */
export function layOutFactors(
  plan: MergePlan,
  part: number,
  { rank, up, down }: LowRankFactors,
): Float32Array<ArrayBuffer> {
  const { first, blocks, firstRow } = partsOf(plan)[part];
  const columns = plan.tables.subarray(first * VECTOR, (first + blocks) * VECTOR);
  const depth = plan.tables.subarray(plan.dims['columnBlocks'] * (VECTOR + 1));
  const result = new Float32Array(rank * (columns.length + depth.length));
  for (const [i, row] of columns.entries()) {
    if (row === NONE) continue;
    const from = (row - firstRow) * rank;
    for (let r = 0; r < rank; r++) result[r * columns.length + i] = up[from + r];
  }
  const steps = result.subarray(rank * columns.length);
  const { rowLength } = plan.dims;
  if (depth.every((position, i) => position === i)) steps.set(down);
  else
    for (const [i, position] of depth.entries())
      if (position !== NONE)
        for (let r = 0; r < rank; r++) steps[r * depth.length + i] = down[r * rowLength + position];
  return result;
}

/** What comes before the factors: which of them each part adds. */
export function layOutHead(
  plan: MergePlan,
  sums: readonly LowRankSum[],
  placeOf: (factors: LowRankFactors) => FactorsPlace,
): Uint32Array<ArrayBuffer> {
  const terms = sums.flatMap((sum) => sum.terms);
  const head = new Uint32Array(headVectors(plan, terms.length) * VECTOR);
  const scales = new Float32Array(head.buffer);
  let next = partsOf(plan).length;
  for (const [part, sum] of sums.entries()) {
    const { first, blocks } = partsOf(plan)[part];
    head.set([next, sum.terms.length, first, blocks], part * VECTOR);
    for (const term of sum.terms) {
      const { up, down } = placeOf(term);
      head.set([term.rank, up, down], next * VECTOR);
      scales[next * VECTOR + 3] = term.scale;
      next++;
    }
  }
  return head;
}
