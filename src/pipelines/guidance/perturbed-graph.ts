/**
 * @file Perturbed-attention guidance (Ahn et al. 2024) as part of the denoising step's graph.
 *
 * With classifier-free guidance of scale s and the perturbed output q, the step goes on with u + s (c - u) + p (c - q).
 * That is guidance from u + p / (1 - s) (c - q), so that only the first block of rows is changed and what follows, rescale
 * included, is as it is. Without it, c + p (c - q) is guidance from q at the scale 1 + p.
 */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import { mulDims, type Dim } from '../../tensor/shape.ts';

/** Input: [batch, 1] f32, 1 for perturbed rows, else 0. */
export const PERTURBED_ROWS = 'perturbed_rows';
/** Input: how much of the positive and of the perturbed output is added to each row at each step, [batch, 2]. */
export const PERTURBED_SCALES = 'perturbed_scales';
/** Inputs: for each batch row the rows of its image in two blocks, [batch] i32; those that guidance reads, [2 * images]. */
export const POSITIVE_ROW = 'positive_row';
export const PERTURBED_ROW = 'perturbed_row';
export const GUIDED_ROW = 'guided_row';

/** The output [3 * images, ...] of three blocks of rows as the two blocks that guidance reads. */
export function foldPerturbed(b: GraphBuilder, output: ValueId, images: Dim): ValueId {
  const name = 'perturbed_guidance';
  const [batch = 1, ...shape] = b.shapeOf(output);
  const flat = b.reshape(output, [batch, mulDims(...shape)], name);
  const rows = (table: ValueId, index: string, count: Dim): ValueId =>
    b.op('gatherRows', name, { table, index: b.input(index, [count], 'i32', 'latent') }, {});
  const scales = b.input(PERTURBED_SCALES, [batch, 2], 'f32', 'step');
  const changed = [POSITIVE_ROW, PERTURBED_ROW].reduce(
    (sum, index, column) => b.addScaled(sum, rows(flat, index, batch), scales, column, name),
    flat,
  );
  const guided = mulDims(2, images);
  return b.reshape(rows(changed, GUIDED_ROW, guided), [guided, ...shape], name);
}
