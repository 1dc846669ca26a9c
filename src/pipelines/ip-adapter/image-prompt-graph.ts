/** @file Image prompts as part of the denoising step's graph: IP-Adapters beside the UNet. */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { IpAdapterConfig } from '../../loaders/ip-adapter.ts';
import type { ImageAttention } from '../../models/blocks/attention-extras.ts';
import { imageAttentions, imageTokens } from '../../models/ip-adapter.ts';
import { transformerBlocks, type UNetLayersConfig } from '../../models/unet-layers.ts';
import { mulDims, type Dim } from '../../tensor/shape.ts';

/** What decides the structure of one prompt's part: an adapter's pictures, or one of them where each has its mask. */
export interface ImagePromptStructure {
  readonly adapter: IpAdapterConfig;
  /** Which adapter it is. */
  readonly index: number;
  /** Pictures of the prompt. */
  readonly images: number;
  /** Tokens of an encoded picture; 0 for adapters that read its embedding. */
  readonly sequence: number;
  /** Whether inputs say where in the picture it counts. */
  readonly masked: boolean;
}

/** Where the weights of each adapter are, in a graph and in the weights of its network. */
export function adapterPath(adapter: number): string {
  return `ip_adapter.${adapter}`;
}

/** Input: encoded pictures, [batch * images, embedding] or [batch * images, sequence, embedding]. */
export function imageEmbedsInput(prompt: number): string {
  return `image_embeds.${prompt}`;
}

/** Input: [batch * images] i32, all 0. */
export function imageZerosInput(prompt: number): string {
  return `image_zeros.${prompt}`;
}

/** Input of a masked prompt: how much it adds to each query of a transformer block, [batch * queries, 1]. */
export function imageMaskInput(prompt: number, block: string): string {
  return `image_mask.${prompt}.${block}`;
}

/** Input: how much each prompt adds to each transformer block, [batch, prompts * blocks]; not read of masked ones. */
export const IMAGE_SCALES = 'image_scales';

/** Appends the adapters. They read pictures at the rate of prompts, so that keys and values are made once. */
export function imagePrompts(
  b: GraphBuilder,
  unet: UNetLayersConfig,
  prompts: readonly ImagePromptStructure[],
  batch: Dim,
): Map<string, ImageAttention[]> {
  const attentions = new Map<string, ImageAttention[]>();
  const blocks = transformerBlocks(unet).length;
  const scales = b.input(IMAGE_SCALES, [batch, prompts.length * blocks], 'f32', 'prompt');
  prompts.forEach(({ adapter, index, images, sequence, masked }, i) => {
    const rows = mulDims(images, batch);
    const { embedding } = adapter.projection;
    const shape = sequence === 0 ? [rows, embedding] : [rows, sequence, embedding];
    const encoded = b.input(imageEmbedsInput(i), shape, 'float', 'prompt');
    const zeros = b.input(imageZerosInput(i), [rows], 'i32', 'prompt');
    const path = adapterPath(index);
    const each = b.within(path, () => imageTokens(b, adapter, encoded, zeros));
    const [, count = 1, channels = 1] = b.shapeOf(each);
    const tokens = b.reshape(each, [batch, mulDims(images, count), channels], path);
    const maskOf = masked ? (block: string) => imageMaskInput(i, block) : undefined;
    const added = imageAttentions(unet, { tokens, path, scales, firstColumn: i * blocks, maskOf });
    for (const [block, attention] of added)
      attentions.set(block, [...(attentions.get(block) ?? []), attention]);
  });
  return attentions;
}
