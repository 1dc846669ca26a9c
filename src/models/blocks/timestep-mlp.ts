/** @file Two linear layers over an embedding (diffusers models/embeddings.py, `TimestepEmbedding`). */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';

/**
 * linear_2(silu(linear_1(x))).
 * @param x [batch, inChannels]
 * @returns [batch, channels]
 */
export function timestepMlp(b: GraphBuilder, x: ValueId, path: string, channels: number): ValueId {
  const h = b.activate(b.linear(x, `${path}.linear_1`, { channels }), 'silu', `${path}.act`);
  return b.linear(h, `${path}.linear_2`, { channels });
}
