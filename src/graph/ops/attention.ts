/** @file Scaled dot-product attention over several heads. */

import { mulDims } from '../../tensor/shape.ts';
import { check, checkDim, checkRank, dimOf, type OpDefinition, type ValueId, type ValueType } from '../op.ts';

/**
 * softmax(q k^T * scale) v for each head. The three inputs may be the same value: each takes its
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

export const attention: OpDefinition<AttentionOp> = {
  summary: 'scaled dot-product attention',
  infer({ q, k, v }, { heads, headDim, offsets }) {
    const width = heads * headDim;
    checkSource('q', q, offsets[0], width);
    checkSource('k', k, offsets[1], width);
    checkSource('v', v, offsets[2], width);
    for (const axis of [0, 1]) checkDim('v', v, axis, dimOf(k, axis));
    checkDim('k', k, 0, dimOf(q, 0));
    return { shape: [dimOf(q, 0), dimOf(q, 1), width], dtype: 'float' };
  },
  flops: ({ q, k }, { heads, headDim }) => mulDims(4, dimOf(q, 0), dimOf(q, 1), dimOf(k, 1), heads * headDim),
};
