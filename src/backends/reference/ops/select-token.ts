/** @file Reference for selectToken. */

import type { SelectTokenOp } from '../../../graph/ops/select-token.ts';
import { elementCount, mapElements, type ReferenceOp } from '../op.ts';

export const selectToken: ReferenceOp<SelectTokenOp> = ({ x, index }, _attrs, output) => {
  const [, tokens = 1, channels = 1] = x.shape;
  return mapElements(elementCount(output), (i) => {
    const sequence = Math.floor(i / channels);
    return x.data[(sequence * tokens + index.data[sequence]) * channels + (i % channels)];
  });
};
