/** @file Reference for embedTokens. */

import type { EmbedTokensOp } from '../../../graph/ops/embed-tokens.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const embedTokens: ReferenceOp<EmbedTokensOp> = ({ ids, table, positions }, _attrs, output) => {
  const [tokens, channels] = [lastAxis(ids.shape), lastAxis(output)];
  return mapElements(elementCount(output), (i) => {
    const token = Math.floor(i / channels);
    const channel = i % channels;
    const position = positions ? positions.data[(token % tokens) * channels + channel] : 0;
    return table.data[ids.data[token] * channels + channel] + position;
  });
};
