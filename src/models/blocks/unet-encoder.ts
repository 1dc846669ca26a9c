/** @file The half of a UNet that ControlNets copy: down blocks and middle (diffusers models/unets/unet_2d_condition.py). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { UNet2DConditionConfig } from '../../loaders/configs/unet.ts';
import { downBlock, midBlock, type UNetContext } from './unet-blocks.ts';

/** What decides the structure of the half. */
export type UNetEncoderConfig = Pick<
  UNet2DConditionConfig,
  | 'blockOutChannels'
  | 'layersPerBlock'
  | 'numAttentionHeads'
  | 'transformerLayersPerBlock'
  | 'midBlockType'
  | 'midTransformerLayers'
> &
  Partial<Pick<UNet2DConditionConfig, 'onlyCrossAttention'>>;

/**
 * Down blocks and middle.
 * @param x what `conv_in` gives, [batch, height, width, channels]
 * @returns the middle's output, and what the up blocks take besides it: `x` and the output of each layer and
 * downsampler, in order
 */
export function unetEncoder(
  b: GraphBuilder,
  x: ValueId,
  context: UNetContext,
  config: UNetEncoderConfig,
): { readonly middle: ValueId; readonly skips: ValueId[] } {
  const { blockOutChannels, layersPerBlock, numAttentionHeads, transformerLayersPerBlock } = config;
  const last = blockOutChannels.length - 1;
  const skips = [x];
  blockOutChannels.forEach((channels, level) => {
    const outputs = downBlock(b, x, `down_blocks.${level}`, context, {
      channels,
      layers: layersPerBlock[level],
      heads: numAttentionHeads[level],
      depths: transformerLayersPerBlock[level],
      onlyCrossAttention: config.onlyCrossAttention?.[level] ?? false,
      downsample: level < last,
    });
    skips.push(...outputs);
    x = outputs[outputs.length - 1];
  });
  if (config.midBlockType !== null)
    x = midBlock(b, x, 'mid_block', context, {
      heads: numAttentionHeads[last],
      depth: config.midTransformerLayers,
    });
  return { middle: x, skips };
}

/** Channels of the skips, in order. */
export function skipChannels({ blockOutChannels, layersPerBlock }: UNetEncoderConfig): number[] {
  const last = blockOutChannels.length - 1;
  return [
    blockOutChannels[0],
    ...blockOutChannels.flatMap((channels, level) =>
      Array.from({ length: layersPerBlock[level] + (level < last ? 1 : 0) }, () => channels),
    ),
  ];
}
