/**
 * @file Configuration of T5EncoderModel, with the defaults of transformers' T5Config
 * (transformers/models/t5/configuration_t5.py).
 */
import * as v from 'valibot';
import { type ConfigContext, oneOf, supported, validate, whole } from '../config.ts';

/** A T5 encoder. */
export interface T5EncoderConfig {
  readonly vocabSize: number;
  /** Width of the hidden states. */
  readonly dModel: number;
  /** Width of a head; all heads together need not be as wide as the hidden states. */
  readonly dKv: number;
  /** Width inside the feed-forward. */
  readonly dFf: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly relativeAttentionNumBuckets: number;
  readonly relativeAttentionMaxDistance: number;
  readonly layerNormEpsilon: number;
  /** Activation of the feed-forward, and whether it gates a second projection (T5 v1.1) or is alone (T5). */
  readonly activation: 'relu' | 'gelu_tanh';
  readonly gated: boolean;
}

/** transformers' names of activations that are implemented; the last two are one function. */
const ACTIVATIONS = { relu: 'relu', gelu_new: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh' } as const;

const schema = v.object({
  model_type: supported('t5'),
  vocab_size: v.optional(whole(), 32128),
  d_model: v.optional(whole(), 512),
  d_kv: v.optional(whole(), 64),
  d_ff: v.optional(whole(), 2048),
  num_layers: v.optional(whole(), 6),
  num_heads: v.optional(whole(), 8),
  // Two directions, the near half of each exact: fewer than 4 leave nothing for what is far.
  relative_attention_num_buckets: v.optional(whole(4), 32),
  relative_attention_max_distance: v.optional(whole(2), 128),
  layer_norm_epsilon: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-6),
  // "gated-gelu" means gelu_new, as transformers reads it; these are what it was written as before.
  feed_forward_proj: v.optional(oneOf('relu', 'gated-relu', 'gated-gelu')),
  dense_act_fn: v.optional(oneOf('relu', 'gelu_new', 'gelu_pytorch_tanh')),
  is_gated_act: v.optional(v.boolean()),
});

/**
 * Reads a T5 encoder's config.json; what it says of a decoder is not looked at.
 * Throws ConfigError for wrong types and for values that are not supported.
 */
export function parseT5EncoderConfig(json: unknown, context: ConfigContext): T5EncoderConfig {
  const raw = validate(schema, json, context);
  const { feed_forward_proj: projection, dense_act_fn: activation = 'relu', is_gated_act = false } = raw;
  return {
    vocabSize: raw.vocab_size,
    dModel: raw.d_model,
    dKv: raw.d_kv,
    dFf: raw.d_ff,
    numLayers: raw.num_layers,
    numHeads: raw.num_heads,
    relativeAttentionNumBuckets: raw.relative_attention_num_buckets,
    relativeAttentionMaxDistance: raw.relative_attention_max_distance,
    layerNormEpsilon: raw.layer_norm_epsilon,
    ...(projection === undefined
      ? { activation: ACTIVATIONS[activation], gated: is_gated_act }
      : {
          activation: projection === 'gated-gelu' ? 'gelu_tanh' : 'relu',
          gated: projection !== 'relu',
        }),
  };
}
