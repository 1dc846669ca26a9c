/** @file Reference for gatherRows. */

import type { GatherRowsOp } from '../../../graph/ops/gather-rows.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const gatherRows: ReferenceOp<GatherRowsOp> = ({ table, index }, _attrs, output) => {
  const channels = lastAxis(output);
  return mapElements(
    elementCount(output),
    (i) => table.data[index.data[Math.floor(i / channels)] * channels + (i % channels)],
  );
};
