/**
 * @file T5EncoderModel (transformers models/t5/modeling_t5.py): the text encoder of PixArt. Raffel et al. 2020; the gated
 * feed-forward of version 1.1 is Shazeer's 2020.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { T5EncoderConfig } from '../loaders/configs/t5-encoder.ts';
import { symbol } from '../tensor/shape.ts';

/** The table of all tokens' vectors. */
const TOKEN_EMBEDDING = 'shared.weight';

/** Stands for minus infinity, and still is a number when a score is added. */
const HIDDEN = -1e30;

/** Normalises the last axis with the weight at `path` (`T5LayerNorm`). */
function norm(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  { dModel, layerNormEpsilon }: T5EncoderConfig,
): ValueId {
  const weight = b.weight(`${path}.weight`, [dModel]);
  return b.op('rmsNorm', path, { x, weight }, { eps: layerNormEpsilon });
}

/** Self-attention with scores that are not scaled (`T5Attention`); all layers share the bias. */
function attention(
  b: GraphBuilder,
  x: ValueId,
  bias: ValueId,
  path: string,
  { dModel, numHeads: heads, dKv: headDim }: T5EncoderConfig,
): ValueId {
  const project = (name: string): ValueId =>
    b.linear(x, `${path}.${name}`, { channels: heads * headDim, bias: false });
  const [q, k, v] = ['q', 'k', 'v'].map(project);
  const attrs = { heads, headDim, scale: 1, causal: false, offsets: [0, 0, 0] } as const;
  const attended = b.op('attention', path, { q, k, v, bias }, attrs);
  return b.linear(attended, `${path}.o`, { channels: dModel, bias: false });
}

/** `T5DenseGatedActDense` or `T5DenseActDense`. */
function feedForward(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  { dModel, dFf, activation, gated }: T5EncoderConfig,
): ValueId {
  const project = (name: string): ValueId => b.linear(x, `${path}.${name}`, { channels: dFf, bias: false });
  let h = b.activate(project(gated ? 'wi_0' : 'wi'), activation, path);
  if (gated) h = b.op('multiply', path, { a: h, b: project('wi_1') }, {});
  return b.linear(h, `${path}.wo`, { channels: dModel, bias: false });
}

/**
 * What is added to attention scores, [1, keys, queries, heads]: a number for each distance and head, which all layers take
 * from the first one's weights, and the mask.
 */
function attentionBias(b: GraphBuilder, config: T5EncoderConfig): ValueId {
  const { numHeads, relativeAttentionNumBuckets } = config;
  const tokens = symbol('tokens');
  const name = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias';
  const ids = b.input('relative_position_bucket', [tokens, tokens], 'i32', 'prompt');
  const table = b.weight(`${name}.weight`, [relativeAttentionNumBuckets, numHeads]);
  const positions = b.op('embedTokens', name, { ids, table }, {});
  const mask = b.input('attention_mask_bias', [tokens, numHeads], 'float', 'prompt');
  return b.reshape(b.addRows(positions, mask, name), [1, tokens, tokens, numHeads], name);
}

/**
 * The text encoder, for one prompt. Symbol: `tokens`.
 *
 * Inputs: `input_ids` [1, tokens] i32, and those that `t5Inputs` makes.
 * Output: `last_hidden_state` [1, tokens, dModel].
 *
 * The hidden states of published models leave the range of half floats: compute in f32 (as transformers does with those of
 * float16 files, by keeping `wo` in float32).
 */
export function buildT5Encoder(config: T5EncoderConfig): Graph {
  const b = new GraphBuilder('text_encoder');
  const ids = b.input('input_ids', [1, symbol('tokens')], 'i32', 'prompt');
  const table = b.weight(TOKEN_EMBEDDING, [config.vocabSize, config.dModel]);
  const bias = attentionBias(b, config);
  let x = b.op('embedTokens', 'shared', { ids, table }, {});
  for (let i = 0; i < config.numLayers; i++) {
    const path = `encoder.block.${i}`;
    const [attend, feed] = [`${path}.layer.0`, `${path}.layer.1`];
    const normed = norm(b, x, `${attend}.layer_norm`, config);
    x = b.add(attention(b, normed, bias, `${attend}.SelfAttention`, config), x, attend);
    const normedAgain = norm(b, x, `${feed}.layer_norm`, config);
    x = b.add(feedForward(b, normedAgain, `${feed}.DenseReluDense`, config), x, feed);
  }
  b.output('last_hidden_state', norm(b, x, 'encoder.final_layer_norm', config));
  return b.build();
}

/**
 * The inputs of `buildT5Encoder`'s graph that follow from its size.
 * @param mask for each token, 1 where it is seen and 0 where it is not (padding)
 */
export function t5Inputs(
  config: T5EncoderConfig,
  mask: ArrayLike<number>,
): Record<string, Float32Array | Int32Array> {
  const { length: tokens } = mask;
  const { numHeads } = config;
  return {
    relative_position_bucket: Int32Array.from({ length: tokens * tokens }, (_, i) =>
      relativePositionBucket(Math.floor(i / tokens) - (i % tokens), config),
    ),
    attention_mask_bias: Float32Array.from({ length: tokens * numHeads }, (_, i) =>
      mask[Math.floor(i / numHeads)] === 0 ? HIDDEN : 0,
    ),
  };
}

/**
 * The row of the table of relative positions for a key this many tokens after its query (`_relative_position_bucket`): near
 * ones have their own, farther ones share with those about as far. Rounded in f32 as torch does.
 */
export function relativePositionBucket(
  distance: number,
  {
    relativeAttentionNumBuckets,
    relativeAttentionMaxDistance,
  }: Pick<T5EncoderConfig, 'relativeAttentionNumBuckets' | 'relativeAttentionMaxDistance'>,
): number {
  const buckets = Math.floor(relativeAttentionNumBuckets / 2);
  const first = distance > 0 ? buckets : 0;
  const size = Math.abs(distance);
  const exact = Math.floor(buckets / 2);
  if (size < exact) return first + size;
  const { fround, log } = Math;
  const share = fround(fround(log(fround(size / exact))) / fround(log(relativeAttentionMaxDistance / exact)));
  return first + Math.min(exact + Math.trunc(fround(share * (buckets - exact))), buckets - 1);
}

/** Other names under which files keep a tensor: whole T5 models tie the encoder's table to the shared one. */
export function t5EncoderAliases(name: string): string[] {
  return name === TOKEN_EMBEDDING ? ['encoder.embed_tokens.weight'] : [];
}
