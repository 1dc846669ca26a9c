/**
 * @file Configuration of AutoencoderTiny (TAESD), with the defaults of diffusers 0.42.1
 * (diffusers/models/autoencoders/autoencoder_tiny.py).
 */
import * as v from 'valibot';
import {
  type ConfigContext,
  inconsistent,
  list,
  noteUnknownFields,
  supported,
  validate,
  whole,
} from '../config.ts';

/** An AutoencoderTiny. The activation is ReLU; the decoder doubles sizes by nearest neighbour. */
export interface AutoencoderTinyConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels of every convolution of the encoder and of the decoder (diffusers cannot run unequal ones). */
  readonly encoderChannels: number;
  readonly decoderChannels: number;
  /** Blocks of each stage, in the order they run; the encoder halves before every stage but its first. */
  readonly numEncoderBlocks: readonly number[];
  /** Blocks of each stage, in the order they run; the decoder doubles after every stage but its last. */
  readonly numDecoderBlocks: readonly number[];
  /** Latents lie within +-latentMagnitude, for previews and storage as pictures. */
  readonly latentMagnitude: number;
  readonly latentShift: number;
  /** Latents are multiplied by this after encoding. */
  readonly scalingFactor: number;
}

const stages = list(whole(0));
const finite = v.pipe(v.number(), v.finite());

const schema = v.object({
  _class_name: supported('AutoencoderTiny'),
  in_channels: v.optional(whole(), 3),
  out_channels: v.optional(whole(), 3),
  encoder_block_out_channels: v.optional(list(whole()), [64, 64, 64, 64]),
  decoder_block_out_channels: v.optional(list(whole()), [64, 64, 64, 64]),
  act_fn: supported('relu'),
  upsample_fn: supported('nearest'),
  latent_channels: v.optional(whole(), 4),
  upsampling_scaling_factor: supported(2),
  num_encoder_blocks: v.optional(stages, [1, 3, 3, 3]),
  num_decoder_blocks: v.optional(stages, [3, 3, 3, 1]),
  latent_magnitude: v.optional(finite, 3),
  latent_shift: v.optional(finite, 0.5),
  // The class sets this to false whatever the file says.
  force_upcast: v.optional(v.nullable(v.boolean()), false),
  scaling_factor: v.optional(finite, 1),
  // diffusers' pipelines of this family do not look at it.
  shift_factor: v.optional(finite, 0),
  // Written by diffusers as a copy of decoder_block_out_channels, and not read.
  block_out_channels: v.optional(v.unknown()),
});

/** Reads an AutoencoderTiny's config.json. Throws ConfigError for what this version cannot run. */
export function parseAutoencoderTinyConfig(json: unknown, context: ConfigContext): AutoencoderTinyConfig {
  const raw = validate(schema, json, context);
  noteUnknownFields(json, schema, context);
  const channelsOf = (side: 'encoder' | 'decoder'): number => {
    const field = `${side}_block_out_channels` as const;
    const channels = raw[field];
    const blocks = raw[`num_${side}_blocks`];
    if (channels.length !== blocks.length)
      throw inconsistent(
        context,
        field,
        `has ${channels.length} entries, but num_${side}_blocks has ${blocks.length}`,
      );
    if (channels.some((count) => count !== channels[0]))
      throw inconsistent(context, field, 'has unequal channel counts, which diffusers cannot run either');
    return channels[0];
  };
  return {
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    latentChannels: raw.latent_channels,
    encoderChannels: channelsOf('encoder'),
    decoderChannels: channelsOf('decoder'),
    numEncoderBlocks: raw.num_encoder_blocks,
    numDecoderBlocks: raw.num_decoder_blocks,
    latentMagnitude: raw.latent_magnitude,
    latentShift: raw.latent_shift,
    scalingFactor: raw.scaling_factor,
  };
}
