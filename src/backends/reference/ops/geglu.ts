/** @file Reference for geglu. */

import type { GegluOp } from '../../../graph/ops/geglu.ts';
import { gelu } from '../activation.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const geglu: ReferenceOp<GegluOp> = ({ x }, _attrs, output) => {
  const channels = lastAxis(output);
  return mapElements(elementCount(output), (i) => {
    const at = Math.floor(i / channels) * 2 * channels + (i % channels);
    return x.data[at] * gelu(x.data[at + channels]);
  });
};
