/** @file Down, mid and up blocks of UNets, with or without attention (diffusers models/unets/unet_2d_blocks.py). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { Dim } from '../../tensor/shape.ts';
import type { AttentionExtras } from './attention-extras.ts';
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
  /** Additions to the attentions. Default none. */
  readonly extras?: AttentionExtras | undefined;
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
  const { temb, text, groups, eps, linearProjection, extras } = context;
  const h = resnetBlock(b, x, `${path}.resnets.${i}`, { channels, groups, eps, temb });
  if (depths.length === 0) return h;
  return transformer2D(b, h, text, `${path}.attentions.${i}`, {
    heads,
    layers: depths[i],
    groups,
    linearProjection,
    onlyCrossAttention,
    extras,
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
export interface MidBlockOptions extends Pick<UNetBlockOptions, 'heads'> {
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
  { heads, depth }: MidBlockOptions,
): ValueId {
  const plain = { channels: b.channelsOf(x), layers: 1, heads, depths: [], onlyCrossAttention: false };
  if (depth === 0) return layer(b, x, path, 0, context, plain);
  const h = layer(b, x, path, 0, context, { ...plain, depths: [depth] });
  return layer(b, h, path, 1, context, plain);
}

/** FreeU's factors for one up block (Si et al. 2023; diffusers utils/torch_utils.py, `apply_freeu`). */
export interface FreeUScales {
  /** Of the first half of the channels that come from below. */
  readonly backbone: number;
  /** Of the lowest frequencies of the skip connections. */
  readonly skip: number;
}

function strengthened(b: GraphBuilder, x: ValueId, scale: number, name: string): ValueId {
  const channels = b.channelsOf(x);
  const half = Math.floor(channels / 2);
  const first = b.op('sliceChannels', name, { x }, { start: 0, length: half });
  const rest = b.op('sliceChannels', name, { x }, { start: half, length: channels - half });
  return b.concat(b.affine(first, scale, 0, name), rest, name);
}

function weakened(b: GraphBuilder, skip: ValueId, scale: number, name: string): ValueId {
  return b.op('fourierFilter', name, { x: skip }, { scale });
}

/**
 * `UpBlock2D` and `CrossAttnUpBlock2D`.
 * @param x [batch, height, width, inChannels]
 * @param skips down outputs that the layers take, the first layer's last: [batch, height, width, skipChannels] each.
 * @param upsampleTo height and width to resize to afterwards; absent in the last block.
 * @param freeU how the layers' sources are changed; absent without FreeU.
 */
export function upBlock(
  b: GraphBuilder,
  x: ValueId,
  skips: readonly ValueId[],
  path: string,
  context: UNetContext,
  options: UNetBlockOptions & {
    readonly upsampleTo?: readonly [height: Dim, width: Dim];
    readonly freeU?: FreeUScales | undefined;
  },
): ValueId {
  const { freeU } = options;
  skips.toReversed().forEach((skip, i) => {
    const name = `${path}.resnets.${i}`;
    // diffusers writes the strengthened channels in place: without a mid block that is the last skip connection as well.
    const source = freeU ? strengthened(b, x, freeU.backbone, name) : x;
    const kept = skip === x ? source : skip;
    x = layer(
      b,
      b.concat(source, freeU ? weakened(b, kept, freeU.skip, name) : kept, name),
      path,
      i,
      context,
      options,
    );
  });
  return options.upsampleTo ? upsample(b, x, `${path}.upsamplers.0`, options.upsampleTo) : x;
}
