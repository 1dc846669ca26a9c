/** @file Learned tokens that every batch row begins with, and tokens one after the other, from ops over the last axis. */

import type { GraphBuilder } from '../../graph/builder.ts';
import type { ValueId } from '../../graph/op.ts';
import type { Dim } from '../../tensor/shape.ts';

/** Tokens that a file holds. */
export interface LearnedTokens {
  readonly tokens: number;
  readonly channels: number;
  /** Their shape in the file. */
  readonly stored: readonly number[];
}

/**
 * Stored tokens, once for each batch row.
 * @param zeros [batch] i32, all 0
 * @returns [batch, tokens, channels]
 */
export function learnedTokens(
  b: GraphBuilder,
  path: string,
  { tokens, channels, stored }: LearnedTokens,
  zeros: ValueId,
): ValueId {
  const [batch = 1] = b.shapeOf(zeros);
  const table = b.weight(path, [1, tokens * channels], stored);
  const rows = b.op('gatherRows', path, { table, index: zeros }, {});
  return b.reshape(rows, [batch, tokens, channels], path);
}

/** Tokens of `x` [batch, m, channels] and then those of `y` [batch, n, channels]: [batch, m + n, channels]. */
export function concatTokens(b: GraphBuilder, x: ValueId, y: ValueId, name: string): ValueId {
  const channels = b.channelsOf(x);
  const [batch = 1] = b.shapeOf(x);
  const flat = (value: ValueId): ValueId => b.reshape(value, [batch, countOf(b, value) * channels], name);
  return b.reshape(b.concat(flat(x), flat(y), name), [batch, countOf(b, x) + countOf(b, y), channels], name);
}

/** Tokens of a value; both this and the channels must be numbers. */
function countOf(b: GraphBuilder, x: ValueId): number {
  const [, tokens]: readonly Dim[] = b.shapeOf(x);
  return Number(tokens);
}
