/** @file Transformer over the pixels of an image (diffusers models/transformers/transformer_2d.py, continuous input). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { AttentionExtras } from './attention-extras.ts';
import { basicTransformerBlock } from './basic-transformer-block.ts';

/** Options of `transformer2D`. */
export interface Transformer2DOptions {
  readonly heads: number;
  /** Number of BasicTransformerBlocks. */
  readonly layers: number;
  readonly groups: number;
  /** proj_in and proj_out are stored as matrices (SD2, SDXL) and not as 1x1 convolutions (SD1). */
  readonly linearProjection: boolean;
  /** See `BasicTransformerBlockOptions`. */
  readonly onlyCrossAttention: boolean;
  /** See `BasicTransformerBlockOptions`. */
  readonly extras?: AttentionExtras | undefined;
}

/**
 * @param x [batch, height, width, channels]
 * @param text [batch, tokens, textChannels]
 * @returns [batch, height, width, channels]
 */
export function transformer2D(
  b: GraphBuilder,
  x: ValueId,
  text: ValueId,
  path: string,
  { heads, layers, groups, linearProjection, onlyCrossAttention, extras }: Transformer2DOptions,
): ValueId {
  const tokens = b.toTokens(x, path);
  const projection = { channels: b.channelsOf(x), storedAsConv: !linearProjection };
  // This norm's epsilon is fixed in diffusers, whatever the UNet's norm_eps.
  let h = b.groupNorm(tokens, `${path}.norm`, { groups, eps: 1e-6 });
  h = b.linear(h, `${path}.proj_in`, projection);
  for (let i = 0; i < layers; i++)
    h = basicTransformerBlock(b, h, text, `${path}.transformer_blocks.${i}`, {
      heads,
      onlyCrossAttention,
      extras,
    });
  h = b.linear(h, `${path}.proj_out`, projection);
  return b.reshape(b.add(h, tokens, path), b.shapeOf(x), path);
}
