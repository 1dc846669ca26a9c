/** @file Reference for poolMean. */

import type { PoolMeanOp } from '../../../graph/ops/pool-mean.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const poolMean: ReferenceOp<PoolMeanOp> = ({ x }, _attrs, output) => {
  const channels = lastAxis(x.shape);
  const perImage = x.data.length / x.shape[0];
  return mapElements(elementCount(output), (i) => {
    const first = Math.floor(i / channels) * perImage + (i % channels);
    let sum = 0;
    for (let at = 0; at < perImage; at += channels) sum += x.data[first + at];
    return sum / (perImage / channels);
  });
};
