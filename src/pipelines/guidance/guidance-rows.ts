/** @file What guidance makes a network compute at a step: blocks of batch rows, with a row for each image in each. */

/** Without the prompt; with it; with it and perturbed attention. */
export type GuidanceRow = 'negative' | 'positive' | 'perturbed';

/** Which kinds of guidance there are. */
export interface GuidanceKinds {
  /** Classifier-free guidance. */
  readonly guided: boolean;
  /** The transformer blocks that perturbed-attention guidance works on; absent without it. */
  readonly perturbed?: readonly string[] | undefined;
}

/**
 * The blocks in their order. Guidance goes from the first block to the second, and from the third, if there is one, to the
 * second.
 */
export function guidanceRows({ guided, perturbed }: GuidanceKinds): readonly GuidanceRow[] {
  if (guided) return perturbed ? ['negative', 'positive', 'perturbed'] : ['negative', 'positive'];
  return perturbed ? ['perturbed', 'positive'] : ['positive'];
}

/** Something for each batch row: `of` gives it for an image's row in a block. */
export function forRows<T>(
  blocks: readonly GuidanceRow[],
  images: number,
  of: (block: GuidanceRow, image: number) => T,
): T[] {
  return blocks.flatMap((block) => Array.from({ length: images }, (_, image) => of(block, image)));
}
