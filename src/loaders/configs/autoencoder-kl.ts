/**
 * @file Configuration of AutoencoderKL, with the defaults of diffusers 0.42.1
 * (diffusers/models/autoencoders/autoencoder_kl.py).
 */
import * as v from 'valibot';
import {
  checkGroups,
  checkLength,
  type ConfigContext,
  flag,
  inconsistent,
  list,
  noteUnknownFields,
  oneOf,
  sizeSchema,
  supported,
  validate,
  whole,
} from '../config.ts';

/**
 * An AutoencoderKL. Levels count from the finest (0). The activation is SiLU; blocks are DownEncoderBlock2D and
 * UpDecoderBlock2D; the mid blocks' attention has one head over all channels.
 */
export interface AutoencoderKLConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels of each level. */
  readonly blockOutChannels: readonly number[];
  /** Resnets of each level of the encoder; the decoder has one more. */
  readonly layersPerBlock: number;
  readonly normNumGroups: number;
  /** Pixel height and width that the model was trained at; tiling starts above it. */
  readonly sampleSize: readonly [height: number, width: number];
  /** Latents are multiplied by this after encoding. */
  readonly scalingFactor: number;
  /** Mean and standard deviation of each latent channel; null unless the file gives both. */
  readonly latentStatistics: { readonly mean: readonly number[]; readonly std: readonly number[] } | null;
  /** Half-precision activations overflow: run it in f32. */
  readonly forceUpcast: boolean;
  readonly useQuantConv: boolean;
  readonly usePostQuantConv: boolean;
  readonly midBlockAddAttention: boolean;
}

const numbers = v.optional(v.nullable(list(v.pipe(v.number(), v.finite()))), null);

const schema = v.object({
  _class_name: supported('AutoencoderKL'),
  in_channels: v.optional(whole(), 3),
  out_channels: v.optional(whole(), 3),
  down_block_types: v.optional(list(oneOf('DownEncoderBlock2D')), ['DownEncoderBlock2D']),
  up_block_types: v.optional(list(oneOf('UpDecoderBlock2D')), ['UpDecoderBlock2D']),
  block_out_channels: v.optional(list(whole()), [64]),
  layers_per_block: v.optional(whole(), 1),
  act_fn: supported('silu', 'swish'),
  latent_channels: v.optional(whole(), 4),
  norm_num_groups: v.optional(whole(), 32),
  sample_size: v.optional(sizeSchema, 32),
  scaling_factor: v.optional(v.pipe(v.number(), v.finite()), 0.18215),
  // diffusers' pipelines of this family do not look at it.
  shift_factor: v.optional(v.nullable(v.pipe(v.number(), v.finite())), null),
  latents_mean: numbers,
  latents_std: numbers,
  force_upcast: flag(true),
  use_quant_conv: flag(true),
  use_post_quant_conv: flag(true),
  mid_block_add_attention: flag(true),
});

type Raw = v.InferOutput<typeof schema>;

/** Reads an AutoencoderKL's config.json. Throws ConfigError for what this version cannot run. */
export function parseAutoencoderKLConfig(json: unknown, context: ConfigContext): AutoencoderKLConfig {
  const raw = validate(schema, json, context);
  noteUnknownFields(json, schema, context);
  const channels = raw.block_out_channels;
  checkLength(raw.down_block_types, channels.length, 'down_block_types', context);
  checkLength(raw.up_block_types, channels.length, 'up_block_types', context);
  checkGroups(channels, raw.norm_num_groups, context);
  return {
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    latentChannels: raw.latent_channels,
    blockOutChannels: channels,
    layersPerBlock: raw.layers_per_block,
    normNumGroups: raw.norm_num_groups,
    sampleSize: raw.sample_size,
    scalingFactor: raw.scaling_factor,
    latentStatistics: latentStatistics(raw, context),
    forceUpcast: raw.force_upcast,
    useQuantConv: raw.use_quant_conv,
    usePostQuantConv: raw.use_post_quant_conv,
    midBlockAddAttention: raw.mid_block_add_attention,
  };
}

/** diffusers uses the statistics only if both are there. */
function latentStatistics(raw: Raw, context: ConfigContext): AutoencoderKLConfig['latentStatistics'] {
  const { latents_mean: mean, latents_std: std } = raw;
  if (mean === null || std === null) return null;
  for (const [field, values] of [
    ['latents_mean', mean],
    ['latents_std', std],
  ] as const)
    if (values.length !== raw.latent_channels)
      throw inconsistent(
        context,
        field,
        `has ${values.length} entries for ${raw.latent_channels} latent channels`,
      );
  return { mean, std };
}
