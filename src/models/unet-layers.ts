/** @file The transformer blocks of a UNet by the names that diffusers gives them, without building it. */

import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';

/** A transformer block. */
export interface TransformerBlock {
  /** `down_blocks.0.attentions.1.transformer_blocks.0` */
  readonly path: string;
  /** Whether `attn1` looks at the text as well. */
  readonly onlyCrossAttention: boolean;
  /** How often latents were halved before it. */
  readonly level: number;
}

/** What decides which there are. */
export type UNetLayersConfig = Pick<
  UNet2DConditionConfig,
  | 'layersPerBlock'
  | 'transformerLayersPerBlock'
  | 'upTransformerLayersPerBlock'
  | 'midBlockType'
  | 'midTransformerLayers'
  | 'onlyCrossAttention'
>;

/** The blocks in the order of diffusers' `attn_processors`: down, up, middle. */
export function transformerBlocks(config: UNetLayersConfig): TransformerBlock[] {
  const { transformerLayersPerBlock: down, upTransformerLayersPerBlock: up, layersPerBlock } = config;
  const within = (
    path: string,
    level: number,
    depths: readonly number[],
    onlyCrossAttention: boolean,
  ): TransformerBlock[] =>
    depths.flatMap((depth, attention) =>
      Array.from({ length: depth }, (_, i) => ({
        path: `${path}.attentions.${attention}.transformer_blocks.${i}`,
        onlyCrossAttention,
        level,
      })),
    );
  const last = layersPerBlock.length - 1;
  return [
    ...down.flatMap((depths, i) => within(`down_blocks.${i}`, i, depths, config.onlyCrossAttention[i])),
    ...up.flatMap((depths, i) =>
      within(`up_blocks.${i}`, last - i, depths, config.onlyCrossAttention[last - i]),
    ),
    ...(config.midBlockType === null
      ? []
      : within(
          'mid_block',
          last,
          config.midTransformerLayers > 0 ? [config.midTransformerLayers] : [],
          false,
        )),
  ];
}
