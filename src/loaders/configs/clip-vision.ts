/**
 * @file Configuration of CLIPVisionModelWithProjection, with the defaults of transformers' CLIPVisionConfig
 * (transformers/models/clip/configuration_clip.py).
 */
import * as v from 'valibot';
import { type ConfigContext, inconsistent, oneOf, supported, validate, whole } from '../config.ts';

/** A CLIP image encoder. */
export interface CLIPVisionConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Height and width of the pictures in pixels. */
  readonly imageSize: number;
  /** Height and width of what becomes one token. */
  readonly patchSize: number;
  /** See `CLIPTextConfig`. */
  readonly hiddenAct: 'quick_gelu' | 'gelu';
  readonly layerNormEps: number;
  /** Width of the projected image embedding. */
  readonly projectionDim: number;
}

const schema = v.object({
  model_type: supported('clip_vision_model', 'clip'),
  hidden_size: v.optional(whole(), 768),
  intermediate_size: v.optional(whole(), 3072),
  projection_dim: v.optional(whole(), 512),
  num_hidden_layers: v.optional(whole(), 12),
  num_attention_heads: v.optional(whole(), 12),
  num_channels: v.optional(oneOf(3), 3),
  image_size: v.optional(whole(), 224),
  patch_size: v.optional(whole(), 32),
  hidden_act: supported('quick_gelu', 'gelu'),
  layer_norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-5),
});

/** A whole CLIPModel's file has the image encoder's part under this name. */
const nestedSchema = v.object({ vision_config: v.record(v.string(), v.unknown()) });

/**
 * Reads a CLIP image encoder's config.json, or the `vision_config` inside a whole CLIP model's.
 * Throws ConfigError for wrong types and for values that are not supported.
 */
export function parseCLIPVisionConfig(json: unknown, context: ConfigContext): CLIPVisionConfig {
  const nested = v.is(nestedSchema, json);
  const inner = nested ? { ...context, file: `${context.file}#vision_config` } : context;
  const raw = validate(schema, nested ? json.vision_config : json, inner);
  if (raw.hidden_size % raw.num_attention_heads !== 0)
    throw inconsistent(
      inner,
      'num_attention_heads',
      `hidden_size ${raw.hidden_size} cannot be split into ${raw.num_attention_heads} heads`,
    );
  if (raw.patch_size > raw.image_size)
    throw inconsistent(
      inner,
      'patch_size',
      `patches of ${raw.patch_size} do not fit pictures of ${raw.image_size}`,
    );
  return {
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    numHiddenLayers: raw.num_hidden_layers,
    numAttentionHeads: raw.num_attention_heads,
    imageSize: raw.image_size,
    patchSize: raw.patch_size,
    hiddenAct: raw.hidden_act,
    layerNormEps: raw.layer_norm_eps,
    projectionDim: raw.projection_dim,
  };
}
