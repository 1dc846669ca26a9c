/** @file A layer of CLIP's encoders of texts and pictures (transformers models/clip/modeling_clip.py). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';

/** What decides a layer's structure; both encoders' configurations have it. */
export interface CLIPEncoderLayerConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numAttentionHeads: number;
  readonly hiddenAct: 'quick_gelu' | 'gelu';
  readonly layerNormEps: number;
}

/** Options of `clipEncoderLayer`. */
export interface CLIPEncoderLayerOptions {
  /** Each token sees only those up to itself, as in texts. */
  readonly causal: boolean;
}

/** Self-attention (`CLIPAttention`) of x [batch, tokens, channels]. */
function attention(b: GraphBuilder, x: ValueId, path: string, heads: number, causal: boolean): ValueId {
  const channels = b.channelsOf(x);
  const q = b.linear(x, `${path}.q_proj`, { channels });
  const k = b.linear(x, `${path}.k_proj`, { channels });
  const v = b.linear(x, `${path}.v_proj`, { channels });
  const attended = b.attention(q, k, v, path, { heads, headDim: channels / heads, causal });
  return b.linear(attended, `${path}.out_proj`, { channels });
}

/** Two linear layers (`CLIPMLP`). */
function mlp(b: GraphBuilder, x: ValueId, path: string, config: CLIPEncoderLayerConfig): ValueId {
  const h = b.linear(x, `${path}.fc1`, { channels: config.intermediateSize });
  return b.linear(b.activate(h, config.hiddenAct, `${path}.fc1`), `${path}.fc2`, {
    channels: config.hiddenSize,
  });
}

/**
 * x += attention(norm1(x)); x += mlp(norm2(x)) (`CLIPEncoderLayer`).
 * @param x [batch, tokens, hiddenSize]
 * @returns the same shape
 */
export function clipEncoderLayer(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  config: CLIPEncoderLayerConfig,
  { causal }: CLIPEncoderLayerOptions,
): ValueId {
  const norm = { eps: config.layerNormEps };
  let h = b.layerNorm(x, `${path}.layer_norm1`, norm);
  x = b.add(attention(b, h, `${path}.self_attn`, config.numAttentionHeads, causal), x, `${path}.self_attn`);
  h = b.layerNorm(x, `${path}.layer_norm2`, norm);
  return b.add(mlp(b, h, `${path}.mlp`, config), x, `${path}.mlp`);
}
