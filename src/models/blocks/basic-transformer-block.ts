/** @file Self-attention, cross-attention and feed-forward (diffusers models/attention.py, `BasicTransformerBlock`). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { AttentionExtras } from './attention-extras.ts';
import { attentionLayer } from './attention-layer.ts';

/** LayerNorm epsilon; Transformer2DModel's default, which no UNet config changes. */
const EPS = 1e-5;

/** Feed-forward with a gated GELU and four times the channels inside (`FeedForward`, activation "geglu"). */
function feedForward(b: GraphBuilder, x: ValueId, path: string): ValueId {
  const channels = b.channelsOf(x);
  const wide = b.linear(x, `${path}.net.0.proj`, { channels: 8 * channels });
  const gated = b.op('geglu', `${path}.net.0`, { x: wide }, {});
  return b.linear(gated, `${path}.net.2`, { channels });
}

/** Options of `basicTransformerBlock`. */
export interface BasicTransformerBlockOptions {
  readonly heads: number;
  /** Both attentions look at the text (`only_cross_attention`). */
  readonly onlyCrossAttention: boolean;
  /** Default none. */
  readonly extras?: AttentionExtras | undefined;
}

/**
 * x += attn1(norm1(x)); x += attn2(norm2(x), text); x += ff(norm3(x)).
 * @param x [batch, positions, channels]
 * @param text [batch, tokens, textChannels]
 * @returns [batch, positions, channels]
 */
export function basicTransformerBlock(
  b: GraphBuilder,
  x: ValueId,
  text: ValueId,
  path: string,
  { heads, onlyCrossAttention, extras }: BasicTransformerBlockOptions,
): ValueId {
  const options = { heads, bias: false };
  const perturbed = extras?.perturbed?.blocks.has(path) === true ? extras.perturbed.rows : undefined;
  let normed = b.layerNorm(x, `${path}.norm1`, { eps: EPS });
  x = b.add(
    attentionLayer(b, normed, onlyCrossAttention ? text : normed, `${path}.attn1`, { ...options, perturbed }),
    x,
    `${path}.attn1`,
  );
  normed = b.layerNorm(x, `${path}.norm2`, { eps: EPS });
  const images = extras?.images.get(path);
  x = b.add(attentionLayer(b, normed, text, `${path}.attn2`, { ...options, images }), x, `${path}.attn2`);
  normed = b.layerNorm(x, `${path}.norm3`, { eps: EPS });
  return b.add(feedForward(b, normed, `${path}.ff`), x, `${path}.ff`);
}
