/**
 * @file Configuration of UNet2DConditionModel, with the defaults of diffusers 0.42.1
 * (diffusers/models/unets/unet_2d_condition.py), normalised so that every level has its own entry.
 */
import * as v from 'valibot';
import {
  broadcast,
  checkGroups,
  checkLength,
  type ConfigContext,
  flag,
  inconsistent,
  list,
  noteUnknownFields,
  oneOf,
  perLevel,
  sizeSchema,
  supported,
  validate,
  whole,
} from '../config.ts';

/** Down blocks that are implemented. */
type UNetDownBlockType = 'DownBlock2D' | 'CrossAttnDownBlock2D';
/** Up blocks that are implemented. */
type UNetUpBlockType = 'UpBlock2D' | 'CrossAttnUpBlock2D';
/** Mid blocks that are implemented: UNetMidBlock2D is a single resnet without attention, null is no block at all. */
type UNetMidBlockType = 'UNetMidBlock2DCrossAttn' | 'UNetMidBlock2D' | null;

/**
 * A UNet2DConditionModel. "Level" counts resolutions, 0 is the finest; lists are in that order unless said otherwise.
 * The activation is SiLU, convolutions in and out are 3x3, downsampling is a 3x3 stride 2 convolution with padding 1.
 */
export interface UNet2DConditionConfig {
  /** Latent height and width that the model was trained at; null if the file does not say. */
  readonly sampleSize: readonly [height: number, width: number] | null;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Sinusoidal time embedding: cosines first if true. */
  readonly flipSinToCos: boolean;
  /** Sinusoidal time embedding: frequencies are 10000^(-i / (half - freqShift)). */
  readonly freqShift: number;
  /** Width of the time embedding after its MLP: time_embedding_dim, or 4 x the first level's channels. */
  readonly timeEmbedDim: number;
  /** Width of the guidance embedding that is added before the time MLP (`time_embedding.cond_proj`, LCM); null: none. */
  readonly timeCondProjDim: number | null;
  /** Rows of a table of embeddings that are added by number (`class_embedding`, the x4 upscaler's noise levels); null: none. */
  readonly numClassEmbeds: number | null;
  /** SDXL's micro-conditioning (`add_embedding`); null: none. */
  readonly additionEmbed: UNetAdditionEmbed | null;
  /** Channels of each level. */
  readonly blockOutChannels: readonly number[];
  readonly downBlockTypes: readonly UNetDownBlockType[];
  readonly midBlockType: UNetMidBlockType;
  /** Up blocks in the order they run: coarsest first. */
  readonly upBlockTypes: readonly UNetUpBlockType[];
  /** Resnets of each level's down block; its up block has one more. */
  readonly layersPerBlock: readonly number[];
  /** Number of attention heads of each level (the file calls it attention_head_dim, but it is the number). */
  readonly numAttentionHeads: readonly number[];
  /** Width of the text embedding, which all levels attend to. */
  readonly crossAttentionDim: number;
  /** BasicTransformerBlocks in each attention of each down block; an empty list for a level without attention. */
  readonly transformerLayersPerBlock: readonly (readonly number[])[];
  /** BasicTransformerBlocks of the mid block's attention; 0 without attention. */
  readonly midTransformerLayers: number;
  /** The same for the up blocks, in the order they run (coarsest first). */
  readonly upTransformerLayersPerBlock: readonly (readonly number[])[];
  /** Levels whose transformers attend to the text in place of the pixels too (`attn1`), finest first. */
  readonly onlyCrossAttention: readonly boolean[];
  /** proj_in and proj_out of transformers are linear layers (2-D weights) instead of 1x1 convolutions. */
  readonly useLinearProjection: boolean;
  /** Attention scores must be computed in f32. */
  readonly upcastAttention: boolean;
  readonly normNumGroups: number;
  /** Epsilon of the resnets' and the final GroupNorm (transformers' own GroupNorm always has 1e-6). */
  readonly normEps: number;
}

/** `addition_embed_type: "text_time"`. */
export interface UNetAdditionEmbed {
  /** Sinusoid width for each of the micro-conditioning numbers. */
  readonly timeEmbedDim: number;
  /** Width of pooled text embedding and all sinusoids together (projection_class_embeddings_input_dim). */
  readonly inputDim: number;
}

const transformerLayers = v.union(
  [whole(), list(v.union([whole(), list(whole())]))],
  'expected a whole number, or a list with a number or a list of numbers for each level',
);

const schema = v.object({
  _class_name: supported('UNet2DConditionModel'),
  sample_size: v.optional(v.nullable(sizeSchema), null),
  in_channels: v.optional(whole(), 4),
  out_channels: v.optional(whole(), 4),
  center_input_sample: supported(false),
  flip_sin_to_cos: flag(true),
  freq_shift: v.optional(v.pipe(v.number(), v.finite()), 0),
  down_block_types: v.optional(list(oneOf('DownBlock2D', 'CrossAttnDownBlock2D')), [
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'DownBlock2D',
  ]),
  mid_block_type: supported('UNetMidBlock2DCrossAttn', 'UNetMidBlock2D', null),
  up_block_types: v.optional(list(oneOf('UpBlock2D', 'CrossAttnUpBlock2D')), [
    'UpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
  ]),
  only_cross_attention: v.optional(
    v.union([v.boolean(), list(v.boolean())], 'expected true, false or a list of them'),
    false,
  ),
  block_out_channels: v.optional(list(whole()), [320, 640, 1280, 1280]),
  layers_per_block: v.optional(perLevel(), 2),
  downsample_padding: supported(1),
  mid_block_scale_factor: supported(1),
  // Dropout does nothing at inference.
  dropout: v.optional(v.number(), 0),
  act_fn: supported('silu', 'swish'),
  norm_num_groups: v.optional(whole(), 32),
  norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-5),
  cross_attention_dim: v.optional(perLevel(), 1280),
  transformer_layers_per_block: v.optional(transformerLayers, 1),
  reverse_transformer_layers_per_block: v.optional(v.nullable(list(v.union([whole(), list(whole())]))), null),
  encoder_hid_dim: supported(null),
  encoder_hid_dim_type: supported(null),
  attention_head_dim: v.optional(perLevel(), 8),
  num_attention_heads: supported(null),
  dual_cross_attention: supported(false),
  use_linear_projection: flag(false),
  class_embed_type: supported(null),
  addition_embed_type: supported(null, 'text_time'),
  addition_time_embed_dim: v.optional(v.nullable(whole()), null),
  num_class_embeds: v.optional(v.nullable(whole()), null),
  upcast_attention: flag(false),
  resnet_time_scale_shift: supported('default'),
  resnet_skip_time_act: supported(false),
  resnet_out_scale_factor: supported(1),
  time_embedding_type: supported('positional'),
  time_embedding_dim: v.optional(v.nullable(whole()), null),
  time_embedding_act_fn: supported(null),
  timestep_post_act: supported(null),
  time_cond_proj_dim: v.optional(v.nullable(whole()), null),
  conv_in_kernel: supported(3),
  conv_out_kernel: supported(3),
  projection_class_embeddings_input_dim: v.optional(v.nullable(whole()), null),
  attention_type: supported('default'),
  class_embeddings_concat: supported(false),
  // Of a mid block that is refused above; UNetMidBlock2DCrossAttn does not look at it.
  mid_block_only_cross_attention: v.optional(v.nullable(v.boolean()), null),
  cross_attention_norm: supported(null),
  // Only read with addition_embed_type "text", which is refused above.
  addition_embed_type_num_heads: v.optional(v.number(), 64),
});

type Raw = v.InferOutput<typeof schema>;
type LevelLayers = number | readonly number[];

/**
 * Reads a UNet2DConditionModel's config.json.
 * Throws ConfigError, naming the field and what is supported, for anything this version cannot run.
 */
export function parseUNet2DConditionConfig(json: unknown, context: ConfigContext): UNet2DConditionConfig {
  const raw = validate(schema, json, context);
  noteUnknownFields(json, schema, context);
  const channels = raw.block_out_channels;
  const levels = channels.length;
  checkLength(raw.down_block_types, levels, 'down_block_types', context);
  checkLength(raw.up_block_types, levels, 'up_block_types', context);
  checkGroups(channels, raw.norm_num_groups, context);
  const layersPerBlock = broadcast(raw.layers_per_block, levels, 'layers_per_block', context);
  const numAttentionHeads = broadcast(raw.attention_head_dim, levels, 'attention_head_dim', context);
  checkHeads(raw, numAttentionHeads, context);
  return {
    sampleSize: raw.sample_size,
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    flipSinToCos: raw.flip_sin_to_cos,
    freqShift: raw.freq_shift,
    timeEmbedDim: raw.time_embedding_dim ?? channels[0] * 4,
    timeCondProjDim: raw.time_cond_proj_dim,
    numClassEmbeds: raw.num_class_embeds,
    additionEmbed: additionEmbed(raw, context),
    blockOutChannels: channels,
    downBlockTypes: raw.down_block_types,
    midBlockType: raw.mid_block_type,
    upBlockTypes: raw.up_block_types,
    layersPerBlock,
    numAttentionHeads,
    crossAttentionDim: crossAttentionDim(raw, levels, context),
    ...transformerDepths(raw, layersPerBlock, context),
    onlyCrossAttention: onlyCrossAttention(raw, context),
    useLinearProjection: raw.use_linear_projection,
    upcastAttention: raw.upcast_attention,
    normNumGroups: raw.norm_num_groups,
    normEps: raw.norm_eps,
  };
}

/** Heads must divide the channels of the levels that have attention. */
function checkHeads(raw: Raw, heads: readonly number[], context: ConfigContext): void {
  const last = heads.length - 1;
  raw.block_out_channels.forEach((channels, level) => {
    const attends =
      raw.down_block_types[level] === 'CrossAttnDownBlock2D' ||
      raw.up_block_types[last - level] === 'CrossAttnUpBlock2D' ||
      (level === last && raw.mid_block_type === 'UNetMidBlock2DCrossAttn');
    if (attends && channels % heads[level] !== 0)
      throw inconsistent(
        context,
        'attention_head_dim',
        `${channels} channels cannot be split into ${heads[level]} heads (this field is the number of heads)`,
      );
  });
}

/** One width: pipelines hand all levels the same text embedding, so a list must say the same for each. */
function crossAttentionDim(raw: Raw, levels: number, context: ConfigContext): number {
  const field = 'cross_attention_dim';
  const widths = broadcast(raw.cross_attention_dim, levels, field, context);
  if (widths.some((width) => width !== widths[0]))
    throw inconsistent(context, field, `has different widths (${widths.join(', ')}) for one text embedding`);
  return widths[0];
}

function additionEmbed(raw: Raw, context: ConfigContext): UNetAdditionEmbed | null {
  if (raw.addition_embed_type === null) return null;
  const timeEmbedDim = raw.addition_time_embed_dim;
  const inputDim = raw.projection_class_embeddings_input_dim;
  if (timeEmbedDim === null)
    throw inconsistent(context, 'addition_time_embed_dim', 'is missing, but addition_embed_type needs it');
  if (inputDim === null)
    throw inconsistent(
      context,
      'projection_class_embeddings_input_dim',
      'is missing, but addition_embed_type needs it',
    );
  return { timeEmbedDim, inputDim };
}

/** One flag for each level. */
function onlyCrossAttention(raw: Raw, context: ConfigContext): readonly boolean[] {
  const given = raw.only_cross_attention;
  const levels = raw.block_out_channels.length;
  const flags = typeof given === 'boolean' ? Array.from({ length: levels }, () => given) : given;
  checkLength(flags, levels, 'only_cross_attention', context);
  return flags;
}

/** Transformer blocks per attention, for the down, mid and up blocks. */
function transformerDepths(
  raw: Raw,
  layersPerBlock: readonly number[],
  context: ConfigContext,
): Pick<
  UNet2DConditionConfig,
  'transformerLayersPerBlock' | 'midTransformerLayers' | 'upTransformerLayersPerBlock'
> {
  const field = 'transformer_layers_per_block';
  const reverseField = `reverse_${field}`;
  const levels = layersPerBlock.length;
  const given = raw.transformer_layers_per_block;
  const down: readonly LevelLayers[] =
    typeof given === 'number' ? Array.from({ length: levels }, () => given) : given;
  checkLength(down, levels, field, context);
  let up: readonly LevelLayers[];
  if (raw.reverse_transformer_layers_per_block !== null) {
    up = raw.reverse_transformer_layers_per_block;
    checkLength(up, levels, reverseField, context);
  } else {
    if (!down.every((depth) => typeof depth === 'number'))
      throw inconsistent(context, reverseField, `is missing, but ${field} has lists inside`);
    up = down.toReversed();
  }
  const deepest = down[levels - 1];
  return {
    transformerLayersPerBlock: down.map((depth, level) =>
      raw.down_block_types[level] === 'CrossAttnDownBlock2D'
        ? perAttention(depth, layersPerBlock[level], `${field}.${level}`, context)
        : [],
    ),
    midTransformerLayers:
      raw.mid_block_type === 'UNetMidBlock2DCrossAttn'
        ? typeof deepest === 'number'
          ? deepest
          : deepest[0]
        : 0,
    upTransformerLayersPerBlock: up.map((depth, i) =>
      raw.up_block_types[i] === 'CrossAttnUpBlock2D'
        ? perAttention(depth, layersPerBlock[levels - 1 - i] + 1, `${reverseField}.${i}`, context)
        : [],
    ),
  };
}

/** One depth for each of a block's attentions. A longer list is cut, as diffusers does by indexing it. */
function perAttention(
  depth: LevelLayers,
  attentions: number,
  field: string,
  context: ConfigContext,
): readonly number[] {
  if (typeof depth === 'number') return Array.from({ length: attentions }, () => depth);
  if (depth.length < attentions)
    throw inconsistent(context, field, `has ${depth.length} entries for ${attentions} attentions`);
  return depth.slice(0, attentions);
}
