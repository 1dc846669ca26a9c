/**
 * @file AutoencoderKL (diffusers models/autoencoders/autoencoder_kl.py and vae.py): pictures to latents and back.
 * Rombach et al. 2022. Neither half scales latents; that is the pipelines' work.
 */

import { GraphBuilder } from '../graph/builder.ts';
import type { Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { AutoencoderKLConfig } from '../loaders/configs/autoencoder-kl.ts';
import { mulDims, symbol } from '../tensor/shape.ts';
import { attentionLayer } from './blocks/attention-layer.ts';
import { downsample, upsample } from './blocks/resample.ts';
import { resnetBlock } from './blocks/resnet-block.ts';

/** Epsilon of all norms; fixed in diffusers. */
const EPS = 1e-6;

/** Resnets `0..count - 1` at `path`. */
function resnets(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  { channels, count, groups }: { readonly channels: number; readonly count: number; readonly groups: number },
): ValueId {
  for (let i = 0; i < count; i++)
    x = resnetBlock(b, x, `${path}.resnets.${i}`, { channels, groups, eps: EPS });
  return x;
}

/** x + attention(norm(x)) over all pixels with a single head. */
function midAttention(b: GraphBuilder, x: ValueId, path: string, groups: number): ValueId {
  const tokens = b.toTokens(x, path);
  const normed = b.groupNorm(tokens, `${path}.group_norm`, { groups, eps: EPS });
  const attended = attentionLayer(b, normed, normed, path, { heads: 1, bias: true });
  return b.reshape(b.add(attended, tokens, path), b.shapeOf(x), path);
}

/** Resnet, attention, resnet (`UNetMidBlock2D`). */
function midBlock(b: GraphBuilder, x: ValueId, path: string, config: AutoencoderKLConfig): ValueId {
  const options = { channels: b.channelsOf(x), groups: config.normNumGroups, eps: EPS };
  x = resnetBlock(b, x, `${path}.resnets.0`, options);
  if (config.midBlockAddAttention) x = midAttention(b, x, `${path}.attentions.0`, config.normNumGroups);
  return resnetBlock(b, x, `${path}.resnets.1`, options);
}

/** The last norm, activation and convolution of both halves. */
function head(b: GraphBuilder, x: ValueId, path: string, groups: number, channels: number): ValueId {
  const normed = b.groupNorm(x, `${path}.conv_norm_out`, { groups, eps: EPS });
  return b.conv2d(b.activate(normed, 'silu', `${path}.conv_norm_out`), `${path}.conv_out`, {
    channels,
    kernel: 3,
  });
}

/**
 * Input `image` [batch, height, width, inChannels] in -1..1; outputs `mean` and `logvar`
 * [batch, height / 8, width / 8, latentChannels] (for four levels; every halving rounds down). diffusers clamps
 * logvar to -30..20 before sampling. Symbols: `batch`, `height`, `width` (of pixels).
 */
export function buildAutoencoderKLEncoder(config: AutoencoderKLConfig): Graph {
  const b = new GraphBuilder('vae_encoder');
  const { blockOutChannels, latentChannels, normNumGroups: groups } = config;
  const shape = [symbol('batch'), symbol('height'), symbol('width'), config.inChannels];
  let x = b.input('image', shape, 'float', 'latent');
  x = b.conv2d(x, 'encoder.conv_in', { channels: blockOutChannels[0], kernel: 3 });
  blockOutChannels.forEach((channels, level) => {
    const path = `encoder.down_blocks.${level}`;
    x = resnets(b, x, path, { channels, count: config.layersPerBlock, groups });
    if (level < blockOutChannels.length - 1) x = downsample(b, x, `${path}.downsamplers.0`, 'end');
  });
  x = midBlock(b, x, 'encoder.mid_block', config);
  x = head(b, x, 'encoder', groups, 2 * latentChannels);
  if (config.useQuantConv) x = b.conv2d(x, 'quant_conv', { channels: 2 * latentChannels, kernel: 1 });
  b.output('mean', b.op('sliceChannels', 'mean', { x }, { start: 0, length: latentChannels }));
  b.output(
    'logvar',
    b.op('sliceChannels', 'logvar', { x }, { start: latentChannels, length: latentChannels }),
  );
  return b.build();
}

/**
 * Input `latents` [batch, height, width, latentChannels], already divided by the scaling factor; output `image`
 * [batch, 8 height, 8 width, outChannels] (for four levels), about -1..1. Symbols: `batch`, `height`, `width` (of
 * latents).
 */
export function buildAutoencoderKLDecoder(config: AutoencoderKLConfig): Graph {
  const b = new GraphBuilder('vae_decoder');
  const { blockOutChannels, latentChannels, normNumGroups: groups } = config;
  const shape = [symbol('batch'), symbol('height'), symbol('width'), latentChannels];
  let x = b.input('latents', shape, 'float', 'latent');
  if (config.usePostQuantConv) x = b.conv2d(x, 'post_quant_conv', { channels: latentChannels, kernel: 1 });
  const channelsByBlock = blockOutChannels.toReversed();
  x = b.conv2d(x, 'decoder.conv_in', { channels: channelsByBlock[0], kernel: 3 });
  x = midBlock(b, x, 'decoder.mid_block', config);
  channelsByBlock.forEach((channels, i) => {
    const path = `decoder.up_blocks.${i}`;
    x = resnets(b, x, path, { channels, count: config.layersPerBlock + 1, groups });
    if (i === channelsByBlock.length - 1) return;
    const [, height = 1, width = 1] = b.shapeOf(x);
    x = upsample(b, x, `${path}.upsamplers.0`, [mulDims(2, height), mulDims(2, width)]);
  });
  b.output('image', head(b, x, 'decoder', groups, config.outChannels));
  return b.build();
}

/** Names of the mid attention's layers, now and in files saved by diffusers before 0.18. */
const OLD_ATTENTION: readonly (readonly [now: string, before: string])[] = [
  ['.to_q.', '.query.'],
  ['.to_k.', '.key.'],
  ['.to_v.', '.value.'],
  ['.to_out.0.', '.proj_attn.'],
];

/** Other names under which files keep a tensor of an AutoencoderKL. */
export function autoencoderKLAliases(name: string): string[] {
  if (!name.includes('.mid_block.attentions.')) return [];
  return OLD_ATTENTION.filter(([now]) => name.includes(now)).map(([now, before]) =>
    name.replace(now, before),
  );
}
