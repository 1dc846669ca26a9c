/** @file Scaled dot-product attention over several heads. */

import { mulDims, type Shape } from '../../tensor/shape.ts';
import { check, checkDim, checkRank, dimOf, type OpDefinition, type ValueId, type ValueType } from '../op.ts';

/**
 * softmax(q k^T * scale + bias) v for each head. The three inputs may be the same value: each takes its
 * heads * headDim channels from its offset on, so fused QKV needs no copies.
 */
export interface AttentionOp {
  readonly inputs: {
    /** [batch, queries, channels] */
    readonly q: ValueId;
    /** [batch, keys, channels] */
    readonly k: ValueId;
    /** [batch, keys, channels] */
    readonly v: ValueId;
    /**
     * Added to the scores: [batch, keys, queries, heads], where all axes but the keys' may be 1 for all alike. Masks and
     * relative positions.
     */
    readonly bias?: ValueId;
  };
  readonly attrs: {
    readonly heads: number;
    readonly headDim: number;
    /** Usually 1 / sqrt(headDim). */
    readonly scale: number;
    /** A query sees only keys at its own position and before. */
    readonly causal: boolean;
    /** First channel of q, k and v inside their inputs. */
    readonly offsets: readonly [number, number, number];
  };
}

function checkSource(name: string, type: ValueType, offset: number, width: number): void {
  checkRank(name, type, 3);
  const channels = dimOf(type, 2);
  check(typeof channels === 'number' && offset + width <= channels, `${name} has too few channels`);
}

/** The axis of the keys in a bias. */
const KEYS = 1;

/** Every axis but that of the keys may be 1. */
function checkBias(bias: ValueType, whole: Shape): void {
  checkRank('bias', bias, 4);
  whole.forEach((dim, axis) => {
    if (axis === KEYS || bias.shape[axis] !== 1) checkDim('bias', bias, axis, dim);
  });
}

/** How many elements of a bias of this shape lie between neighbours along each axis; 0 where all are alike. */
export function biasStrides(shape: readonly number[]): {
  batch: number;
  key: number;
  query: number;
  head: number;
} {
  const [batch = 1, keys = 1, queries = 1, heads = 1] = shape;
  return {
    batch: batch === 1 ? 0 : keys * queries * heads,
    key: queries * heads,
    query: queries === 1 ? 0 : heads,
    head: heads === 1 ? 0 : 1,
  };
}

export const attention: OpDefinition<AttentionOp> = {
  summary: 'scaled dot-product attention',
  infer({ q, k, v, bias }, { heads, headDim, offsets }) {
    const width = heads * headDim;
    checkSource('q', q, offsets[0], width);
    checkSource('k', k, offsets[1], width);
    checkSource('v', v, offsets[2], width);
    for (const axis of [0, 1]) checkDim('v', v, axis, dimOf(k, axis));
    checkDim('k', k, 0, dimOf(q, 0));
    if (bias) checkBias(bias, [dimOf(q, 0), dimOf(k, 1), dimOf(q, 1), heads]);
    return { shape: [dimOf(q, 0), dimOf(q, 1), width], dtype: 'float' };
  },
  flops: ({ q, k }, { heads, headDim }) => mulDims(4, dimOf(q, 0), dimOf(q, 1), dimOf(k, 1), heads * headDim),
};
