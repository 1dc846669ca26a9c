/** @file Multi-head attention with its projections (diffusers models/attention_processor.py, `Attention`). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';

/** Options of `attentionLayer`. */
export interface AttentionLayerOptions {
  /** Must divide the channels of `x`. */
  readonly heads: number;
  /** Whether to_q, to_k and to_v have a bias; to_out always has one. */
  readonly bias: boolean;
  /** Added to the scores: see `AttentionOp`. */
  readonly scoreBias?: ValueId;
}

/**
 * Each token of `x` attends to the tokens of `context` (`x` itself for self-attention).
 * @param x [batch, queries, channels]
 * @param context [batch, keys, contextChannels]
 * @returns [batch, queries, channels], without a residual.
 */
export function attentionLayer(
  b: GraphBuilder,
  x: ValueId,
  context: ValueId,
  path: string,
  { heads, bias, scoreBias }: AttentionLayerOptions,
): ValueId {
  const channels = b.channelsOf(x);
  const q = b.linear(x, `${path}.to_q`, { channels, bias });
  const k = b.linear(context, `${path}.to_k`, { channels, bias });
  const v = b.linear(context, `${path}.to_v`, { channels, bias });
  const attended = b.attention(q, k, v, path, {
    heads,
    headDim: channels / heads,
    ...(scoreBias !== undefined && { bias: scoreBias }),
  });
  return b.linear(attended, `${path}.to_out.0`, { channels });
}
