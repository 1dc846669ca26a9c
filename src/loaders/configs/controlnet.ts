/**
 * @file Configuration of ControlNetModel, with the defaults of diffusers 0.42.1
 * (diffusers/models/controlnets/controlnet.py). What it shares with the UNet whose half it copies is read as a UNet's.
 */
import * as v from 'valibot';
import { type ConfigContext, flag, list, noteUnknownFields, supported, validate, whole } from '../config.ts';
import { parseUNet2DConditionConfig, type UNet2DConditionConfig } from './unet.ts';

/** A ControlNetModel; for the fields of UNets see there. */
export interface ControlNetConfig extends Pick<
  UNet2DConditionConfig,
  | 'inChannels'
  | 'flipSinToCos'
  | 'freqShift'
  | 'timeEmbedDim'
  | 'additionEmbed'
  | 'blockOutChannels'
  | 'downBlockTypes'
  | 'midBlockType'
  | 'layersPerBlock'
  | 'numAttentionHeads'
  | 'crossAttentionDim'
  | 'transformerLayersPerBlock'
  | 'midTransformerLayers'
  | 'useLinearProjection'
  | 'upcastAttention'
  | 'normNumGroups'
  | 'normEps'
> {
  /** Channels of the picture; 3 for colours. */
  readonly conditioningChannels: number;
  /** Widths of the layers that bring the picture to the latents' size; each but the last halves it. */
  readonly conditioningEmbeddingOutChannels: readonly number[];
  /** Order in which the net takes the picture's channels. */
  readonly conditioningChannelOrder: 'rgb' | 'bgr';
  /** What the net adds is averaged over all pixels, and only the prompt's half is controlled (`guessMode`). */
  readonly globalPoolConditions: boolean;
}

const schema = v.looseObject({
  _class_name: supported('ControlNetModel'),
  conditioning_channels: v.optional(whole(), 3),
  conditioning_embedding_out_channels: v.optional(v.nullable(list(whole())), null),
  controlnet_conditioning_channel_order: supported('rgb', 'bgr'),
  global_pool_conditions: flag(false),
  // These may be more in a UNet.
  mid_block_type: supported('UNetMidBlock2DCrossAttn', 'UNetMidBlock2D'),
  layers_per_block: v.optional(whole(), 2),
  num_class_embeds: supported(null),
  only_cross_attention: supported(false),
});

/** Fields that are read as a UNet's. */
const SHARED = [
  'in_channels',
  'flip_sin_to_cos',
  'freq_shift',
  'down_block_types',
  'mid_block_type',
  'only_cross_attention',
  'block_out_channels',
  'layers_per_block',
  'downsample_padding',
  'mid_block_scale_factor',
  'act_fn',
  'norm_num_groups',
  'norm_eps',
  'cross_attention_dim',
  'transformer_layers_per_block',
  'encoder_hid_dim',
  'encoder_hid_dim_type',
  'attention_head_dim',
  'num_attention_heads',
  'use_linear_projection',
  'class_embed_type',
  'addition_embed_type',
  'addition_time_embed_dim',
  'num_class_embeds',
  'upcast_attention',
  'resnet_time_scale_shift',
  'projection_class_embeddings_input_dim',
  'addition_embed_type_num_heads',
] as const;

/**
 * Reads a ControlNetModel's config.json.
 * Throws ConfigError, naming the field and what is supported, for anything this version cannot run.
 */
export function parseControlNetConfig(json: unknown, context: ConfigContext): ControlNetConfig {
  const raw = validate(schema, json, context);
  const unetFields = SHARED.filter((name) => name in raw).map((name) => [name, raw[name]]);
  const known = { ...schema.entries, ...Object.fromEntries(SHARED.map((name) => [name, schema])) };
  noteUnknownFields(json, { entries: known }, context);
  // A ControlNet has no up blocks: those that are made up here say nothing about its half.
  const levels = Array.isArray(raw['down_block_types']) ? raw['down_block_types'].length : 4;
  const unet = parseUNet2DConditionConfig(
    {
      ...Object.fromEntries(unetFields),
      up_block_types: Array.from({ length: levels }, () => 'UpBlock2D'),
      reverse_transformer_layers_per_block: Array.from({ length: levels }, () => 1),
    },
    { file: context.file },
  );
  return {
    ...unet,
    conditioningChannels: raw.conditioning_channels,
    conditioningEmbeddingOutChannels: raw.conditioning_embedding_out_channels ?? [16, 32, 96, 256],
    conditioningChannelOrder: raw.controlnet_conditioning_channel_order,
    globalPoolConditions: raw.global_pool_conditions,
  };
}
