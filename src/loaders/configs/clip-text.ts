/**
 * @file Configuration of CLIPTextModel and CLIPTextModelWithProjection, with the defaults of transformers'
 * CLIPTextConfig (transformers/models/clip/configuration_clip.py).
 */
import * as v from 'valibot';
import { type ConfigContext, inconsistent, supported, validate, whole } from '../config.ts';

/** A CLIP text encoder. Whether it has a projection follows from its class in model_index.json, not from here. */
export interface CLIPTextConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly maxPositionEmbeddings: number;
  /** `quick_gelu` is x * sigmoid(1.702 x); `gelu` is the exact one (erf). */
  readonly hiddenAct: 'quick_gelu' | 'gelu';
  readonly layerNormEps: number;
  /** Width of the projected pooled output of CLIPTextModelWithProjection. */
  readonly projectionDim: number;
  /** The pooled output is taken at this token; 2 means at the largest id (files from before transformers 4.31). */
  readonly eosTokenId: number;
}

const schema = v.object({
  model_type: supported('clip_text_model', 'clip'),
  vocab_size: v.optional(whole(), 49408),
  hidden_size: v.optional(whole(), 512),
  intermediate_size: v.optional(whole(), 2048),
  projection_dim: v.optional(whole(), 512),
  num_hidden_layers: v.optional(whole(), 12),
  num_attention_heads: v.optional(whole(), 8),
  max_position_embeddings: v.optional(whole(), 77),
  hidden_act: supported('quick_gelu', 'gelu'),
  layer_norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-5),
  eos_token_id: v.optional(
    v.pipe(
      v.union([whole(0), v.strictTuple([whole(0)])], 'expected one token id'),
      v.transform((id) => (typeof id === 'number' ? id : id[0])),
    ),
    49407,
  ),
});

/** A whole CLIPModel's file has the text encoder's part under this name. */
const nestedSchema = v.object({ text_config: v.record(v.string(), v.unknown()) });

/**
 * Reads a CLIP text encoder's config.json, or the `text_config` inside a whole CLIP model's.
 * Throws ConfigError for wrong types and for values that are not supported.
 */
export function parseCLIPTextConfig(json: unknown, context: ConfigContext): CLIPTextConfig {
  const nested = v.is(nestedSchema, json);
  const inner = nested ? { ...context, file: `${context.file}#text_config` } : context;
  const raw = validate(schema, nested ? json.text_config : json, inner);
  if (raw.hidden_size % raw.num_attention_heads !== 0)
    throw inconsistent(
      inner,
      'num_attention_heads',
      `hidden_size ${raw.hidden_size} cannot be split into ${raw.num_attention_heads} heads`,
    );
  return {
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    numHiddenLayers: raw.num_hidden_layers,
    numAttentionHeads: raw.num_attention_heads,
    maxPositionEmbeddings: raw.max_position_embeddings,
    hiddenAct: raw.hidden_act,
    layerNormEps: raw.layer_norm_eps,
    projectionDim: raw.projection_dim,
    eosTokenId: raw.eos_token_id,
  };
}
