/** @file Multi-head attention with its projections (diffusers models/attention_processor.py, `Attention`). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import { mulDims } from '../../tensor/shape.ts';
import type { ImageAttention } from './attention-extras.ts';

/** Options of `attentionLayer`. */
export interface AttentionLayerOptions {
  /** Must divide the channels of `x`. */
  readonly heads: number;
  /** Whether to_q, to_k and to_v have a bias; to_out always has one. */
  readonly bias: boolean;
  /** Added to the scores: see `AttentionOp`. */
  readonly scoreBias?: ValueId;
  /** Image prompts that `x` attends to as well. Default none. */
  readonly images?: readonly ImageAttention[] | undefined;
  /** [batch, 1] f32: rows with 1 attend to themselves alone, token by token. Default none. */
  readonly perturbed?: ValueId | undefined;
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
  { heads, bias, scoreBias, images = [], perturbed }: AttentionLayerOptions,
): ValueId {
  const channels = b.channelsOf(x);
  const layer = { heads, headDim: channels / heads };
  const q = b.linear(x, `${path}.to_q`, { channels, bias });
  const k = b.linear(context, `${path}.to_k`, { channels, bias });
  const v = b.linear(context, `${path}.to_v`, { channels, bias });
  let attended = b.attention(q, k, v, path, {
    ...layer,
    ...(scoreBias !== undefined && { bias: scoreBias }),
  });
  for (const image of images) {
    const imageK = b.linear(image.tokens, `${image.path}.to_k_ip`, { channels, bias: false });
    const imageV = b.linear(image.tokens, `${image.path}.to_v_ip`, { channels, bias: false });
    const added = b.attention(q, imageK, imageV, image.path, layer);
    attended =
      image.mask === undefined
        ? b.addScaled(attended, added, image.scales, image.column, image.path)
        : addMasked(b, attended, added, image.mask);
  }
  if (perturbed !== undefined) {
    const name = `${path}.perturbed`;
    const change = b.add(b.affine(attended, -1, 0, name), v, name);
    attended = b.addScaled(attended, change, perturbed, 0, name);
  }
  return b.linear(attended, `${path}.to_out.0`, { channels });
}

/** Adds what is weighed query by query. */
function addMasked(b: GraphBuilder, attended: ValueId, added: ValueId, mask: string): ValueId {
  const shape = b.shapeOf(attended);
  const [batch = 1, queries = 1, channels = 1] = shape;
  const rows = mulDims(batch, queries);
  const weights = b.input(mask, [rows, 1], 'f32', 'prompt');
  const [x, addend] = [attended, added].map((value) => b.reshape(value, [rows, channels], mask));
  return b.reshape(b.addScaled(x, addend, weights, 0, mask), shape, mask);
}
