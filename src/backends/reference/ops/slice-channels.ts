/** @file Reference for sliceChannels. */

import type { SliceChannelsOp } from '../../../graph/ops/slice-channels.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const sliceChannels: ReferenceOp<SliceChannelsOp> = ({ x }, { start, length }, output) =>
  mapElements(
    elementCount(output),
    (i) => x.data[Math.floor(i / length) * lastAxis(x.shape) + start + (i % length)],
  );
