/** @file What a pipeline adds to a UNet's attentions without the model's files knowing: image prompts and perturbation. */

import type { ValueId } from '../../graph/op.ts';

/** What an image prompt adds to one cross-attention (IP-Adapter, Ye et al. 2023). */
export interface ImageAttention {
  /** [batch, tokens, textChannels] */
  readonly tokens: ValueId;
  /** Where `to_k_ip` and `to_v_ip` are. */
  readonly path: string;
  /** [batch, columns] f32 */
  readonly scales: ValueId;
  /** The column of `scales` that weighs what is added. */
  readonly column: number;
  /** The input [batch * queries, 1] f32 that weighs it query by query in their place, where a mask says where it counts. */
  readonly mask?: string | undefined;
}

/** Additions to the attentions of one UNet, by the path of a transformer block. */
export interface AttentionExtras {
  /** What image prompts add to the block's `attn2`. */
  readonly images: ReadonlyMap<string, readonly ImageAttention[]>;
  /**
   * Blocks whose `attn1` is perturbed: weighted by row [batch, 1] f32, 1 for the rows in which every pixel attends to itself
   * alone (perturbed-attention guidance, Ahn et al. 2024), else 0.
   */
  readonly perturbed?: { readonly blocks: ReadonlySet<string>; readonly rows: ValueId };
}
