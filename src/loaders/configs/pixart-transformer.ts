/**
 * @file Configuration of PixArtTransformer2DModel, with the defaults of diffusers 0.42.1
 * (diffusers/models/transformers/pixart_transformer_2d.py).
 */
import * as v from 'valibot';
import {
  type ConfigContext,
  flag,
  inconsistent,
  noteUnknownFields,
  oneOf,
  supported,
  validate,
  whole,
} from '../config.ts';

/** A PixArtTransformer2DModel. */
export interface PixArtTransformerConfig {
  /** Side of the square latents that the model was trained at. */
  readonly sampleSize: number;
  readonly inChannels: number;
  /** Twice the latents' channels where the model was trained to tell a variance too. */
  readonly outChannels: number;
  /** Side of the square of latent pixels that make a token. */
  readonly patchSize: number;
  readonly numLayers: number;
  readonly numAttentionHeads: number;
  readonly attentionHeadDim: number;
  /** Whether q, k and v have a bias. */
  readonly attentionBias: boolean;
  /** Width of the text embedding; projected to the transformer's own if `captionProjection`. */
  readonly crossAttentionDim: number;
  readonly captionProjection: boolean;
  readonly activation: 'gelu_tanh' | 'gelu';
  readonly normEps: number;
  /** Positions are divided by it, so that larger pictures span the same range. */
  readonly interpolationScale: number;
  /** Whether it is told the picture's size and aspect ratio. */
  readonly useAdditionalConditions: boolean;
}

const schema = v.object({
  // Files of diffusers before 0.28 name the class that it was a case of.
  _class_name: supported('PixArtTransformer2DModel', 'Transformer2DModel'),
  num_attention_heads: v.optional(whole(), 16),
  attention_head_dim: v.optional(whole(), 72),
  in_channels: v.optional(whole(), 4),
  out_channels: v.optional(v.nullable(whole()), 8),
  num_layers: v.optional(whole(), 28),
  // Dropout does nothing at inference, groups and the number of embeddings are not used.
  dropout: v.optional(v.number(), 0),
  norm_num_groups: v.optional(v.number(), 32),
  num_embeds_ada_norm: v.optional(whole(), 1000),
  cross_attention_dim: v.optional(whole(), 1152),
  attention_bias: flag(true),
  sample_size: v.optional(whole(), 128),
  patch_size: v.optional(whole(), 2),
  activation_fn: supported('gelu-approximate', 'gelu'),
  upcast_attention: flag(false),
  norm_type: v.optional(oneOf('ada_norm_single'), 'ada_norm_single'),
  norm_elementwise_affine: supported(false),
  norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-6),
  interpolation_scale: v.optional(v.nullable(v.pipe(v.number(), v.gtValue(0))), null),
  use_additional_conditions: v.optional(v.nullable(v.boolean()), null),
  caption_channels: v.optional(v.nullable(whole()), null),
  attention_type: supported('default'),
  // Of Transformer2DModel; diffusers drops them.
  double_self_attention: supported(false),
  only_cross_attention: supported(false),
  num_vector_embeds: supported(null),
  use_linear_projection: flag(false),
});

/**
 * Reads a PixArtTransformer2DModel's config.json, or a Transformer2DModel's of its kind.
 * Throws ConfigError, naming the field and what is supported, for anything this version cannot run.
 */
export function parsePixArtTransformerConfig(json: unknown, context: ConfigContext): PixArtTransformerConfig {
  const raw = validate(schema, json, context);
  noteUnknownFields(json, schema, context);
  const width = raw.num_attention_heads * raw.attention_head_dim;
  const useAdditionalConditions = raw.use_additional_conditions ?? raw.sample_size === 128;
  if (raw.caption_channels !== null && raw.cross_attention_dim !== width)
    throw inconsistent(
      context,
      'cross_attention_dim',
      `is ${raw.cross_attention_dim}, but captions are projected to ${width} channels`,
    );
  if (width % 4 !== 0)
    throw inconsistent(
      context,
      'attention_head_dim',
      `${width} channels cannot be split into 4 for positions`,
    );
  if (useAdditionalConditions && width % 3 !== 0)
    throw inconsistent(context, 'attention_head_dim', `${width} channels cannot be split into 3 conditions`);
  const outChannels = raw.out_channels ?? raw.in_channels;
  if (outChannels !== raw.in_channels && outChannels !== 2 * raw.in_channels)
    throw inconsistent(
      context,
      'out_channels',
      `${outChannels} channels are neither the ${raw.in_channels} of the latents nor twice as many`,
    );
  if (raw.sample_size % raw.patch_size !== 0)
    throw inconsistent(context, 'patch_size', `${raw.sample_size} cannot be split into patches of it`);
  return {
    sampleSize: raw.sample_size,
    inChannels: raw.in_channels,
    outChannels,
    patchSize: raw.patch_size,
    numLayers: raw.num_layers,
    numAttentionHeads: raw.num_attention_heads,
    attentionHeadDim: raw.attention_head_dim,
    attentionBias: raw.attention_bias,
    crossAttentionDim: raw.caption_channels ?? raw.cross_attention_dim,
    captionProjection: raw.caption_channels !== null,
    activation: raw.activation_fn === 'gelu' ? 'gelu' : 'gelu_tanh',
    normEps: raw.norm_eps,
    interpolationScale: raw.interpolation_scale ?? Math.max(Math.floor(raw.sample_size / 64), 1),
    useAdditionalConditions,
  };
}
