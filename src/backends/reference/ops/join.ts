/** @file Reference for join. */

import type { JoinOp } from '../../../graph/ops/join.ts';
import { elementCount, type ReferenceOp } from '../op.ts';

export const join: ReferenceOp<JoinOp> = (parts, _attrs, output) => {
  const result = new Float32Array(elementCount(output));
  let start = 0;
  for (const { data } of Object.values(parts)) {
    result.set(data, start);
    start += data.length;
  }
  return result;
};
