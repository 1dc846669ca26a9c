/** @file Residual block of two convolutions (diffusers models/resnet.py, `ResnetBlock2D`). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';

/** Options of `resnetBlock`. */
export interface ResnetBlockOptions {
  /** Output channels. */
  readonly channels: number;
  readonly groups: number;
  readonly eps: number;
  /** [batch, timeChannels], activated; absent in autoencoders. */
  readonly temb?: ValueId;
}

/**
 * x + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(temb)))), with a 1x1 convolution on x where the
 * channel count changes.
 * @param x [batch, height, width, inChannels]
 * @returns [batch, height, width, channels]
 */
export function resnetBlock(
  b: GraphBuilder,
  x: ValueId,
  path: string,
  { channels, groups, eps, temb }: ResnetBlockOptions,
): ValueId {
  let h = b.groupNorm(x, `${path}.norm1`, { groups, eps });
  // Before the convolutions, so that a wide x (skip connections) need not live until the end.
  const shortcut =
    b.channelsOf(x) === channels ? x : b.conv2d(x, `${path}.conv_shortcut`, { channels, kernel: 1 });
  h = b.activate(h, 'silu', `${path}.norm1`);
  h = b.conv2d(h, `${path}.conv1`, { channels, kernel: 3 });
  if (temb !== undefined) {
    const shift = b.linear(temb, `${path}.time_emb_proj`, { channels });
    h = b.addRows(h, shift, `${path}.time_emb_proj`);
  }
  h = b.groupNorm(h, `${path}.norm2`, { groups, eps });
  h = b.activate(h, 'silu', `${path}.norm2`);
  h = b.conv2d(h, `${path}.conv2`, { channels, kernel: 3 });
  return b.add(h, shortcut, path);
}
