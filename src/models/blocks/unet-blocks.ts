/** @file Down, mid and up blocks of UNets, with or without attention (diffusers models/unets/unet_2d_blocks.py). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { Dim } from '../../tensor/shape.ts';
import { downsample, upsample } from './resample.ts';
import { resnetBlock } from './resnet-block.ts';
import { transformer2D } from './transformer-2d.ts';

/** What all blocks of one UNet share. */
export interface UNetContext {
  /** Time embedding [batch, timeChannels], activated. */
  readonly temb: ValueId;
  /** Text embedding [batch, tokens, textChannels]. */
  readonly text: ValueId;
  readonly groups: number;
  /** Epsilon of the resnets' norms. */
  readonly eps: number;
  /** See `Transformer2DOptions`. */
  readonly linearProjection: boolean;
}

/** One block's own sizes. */
export interface UNetBlockOptions {
  /** Output channels. */
  readonly channels: number;
  /** Number of resnets. */
  readonly layers: number;
  /** Attention heads. */
  readonly heads: number;
  /** Transformer blocks after each resnet; empty for a block without attention. */
  readonly depths: readonly number[];
  /** See `BasicTransformerBlockOptions`. */
  readonly onlyCrossAttention: boolean;
}

/** Resnet `i` of a block, and the transformer after it if the block has attention. */
function layer(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  i: number,
  context: UNetContext,
  { channels, heads, depths, onlyCrossAttention }: UNetBlockOptions,
): ValueId {
  const { temb, text, groups, eps, linearProjection } = context;
  const h = resnetBlock(b, x, `${path}.resnets.${i}`, { channels, groups, eps, temb });
  if (depths.length === 0) return h;
  return transformer2D(b, h, text, `${path}.attentions.${i}`, {
    heads,
    layers: depths[i],
    groups,
    linearProjection,
    onlyCrossAttention,
  });
}

/**
 * `DownBlock2D` and `CrossAttnDownBlock2D`.
 * @param x [batch, height, width, inChannels]
 * @returns the output of every layer and, with `downsample`, of the downsampler; the last one goes on.
 */
export function downBlock(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  context: UNetContext,
  options: UNetBlockOptions & { readonly downsample: boolean },
): ValueId[] {
  const outputs: ValueId[] = [];
  for (let i = 0; i < options.layers; i++) {
    x = layer(b, x, path, i, context, options);
    outputs.push(x);
  }
  if (options.downsample) outputs.push(downsample(b, x, `${path}.downsamplers.0`, 'symmetric'));
  return outputs;
}

/** The mid block's own sizes. */
export interface MidBlockOptions extends Pick<UNetBlockOptions, 'heads' | 'onlyCrossAttention'> {
  readonly depth: number;
}

/**
 * `UNetMidBlock2DCrossAttn`, and `UNetMidBlock2D` as UNets make it: a single resnet.
 * @param x [batch, height, width, channels]
 * @param depth transformer blocks of its attention; 0 for the single resnet.
 */
export function midBlock(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  context: UNetContext,
  { heads, depth, onlyCrossAttention }: MidBlockOptions,
): ValueId {
  const plain = { channels: b.channelsOf(x), layers: 1, heads, depths: [], onlyCrossAttention };
  if (depth === 0) return layer(b, x, path, 0, context, plain);
  const h = layer(b, x, path, 0, context, { ...plain, depths: [depth] });
  return layer(b, h, path, 1, context, plain);
}

/**
 * `UpBlock2D` and `CrossAttnUpBlock2D`.
 * @param x [batch, height, width, inChannels]
 * @param skips down outputs that the layers take, the first layer's last: [batch, height, width, skipChannels] each.
 * @param upsampleTo height and width to resize to afterwards; absent in the last block.
 */
export function upBlock(
  b: GraphBuilder,
  x: ValueId,
  skips: readonly ValueId[],
  path: string,
  context: UNetContext,
  options: UNetBlockOptions & { readonly upsampleTo?: readonly [height: Dim, width: Dim] },
): ValueId {
  skips.toReversed().forEach((skip, i) => {
    x = layer(b, b.concat(x, skip, `${path}.resnets.${i}`), path, i, context, options);
  });
  return options.upsampleTo ? upsample(b, x, `${path}.upsamplers.0`, options.upsampleTo) : x;
}
