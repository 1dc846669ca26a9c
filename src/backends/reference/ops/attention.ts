/** @file Reference for attention: one query of one head at a time, all its scores, softmax, weighted sum. */

import { biasStrides, type AttentionOp } from '../../../graph/ops/attention.ts';
import { elementCount, lastAxis, type ReferenceOp } from '../op.ts';

export const attention: ReferenceOp<AttentionOp> = ({ q, k, v, bias }, attrs, output) => {
  const { heads, headDim, scale, causal, offsets } = attrs;
  const [batch = 1, queries = 1] = q.shape;
  const [, keys = 1] = k.shape;
  const result = new Float32Array(elementCount(output));
  const strides = biasStrides(bias?.shape ?? []);
  const scores = new Float64Array(keys);
  const sums = new Float64Array(headDim);
  for (let b = 0; b < batch; b++)
    for (let head = 0; head < heads; head++)
      for (let query = 0; query < queries; query++) {
        const visible = causal ? Math.min(query + 1, keys) : keys;
        const fromQ = (b * queries + query) * lastAxis(q.shape) + offsets[0] + head * headDim;
        let largest = -Infinity;
        for (let key = 0; key < visible; key++) {
          const fromK = (b * keys + key) * lastAxis(k.shape) + offsets[1] + head * headDim;
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += q.data[fromQ + d] * k.data[fromK + d];
          const at = b * strides.batch + key * strides.key + query * strides.query + head * strides.head;
          scores[key] = dot * scale + (bias?.data[at] ?? 0);
          largest = Math.max(largest, scores[key]);
        }
        let total = 0;
        sums.fill(0);
        for (let key = 0; key < visible; key++) {
          const fromV = (b * keys + key) * lastAxis(v.shape) + offsets[2] + head * headDim;
          const weight = Math.exp(scores[key] - largest);
          total += weight;
          for (let d = 0; d < headDim; d++) sums[d] += weight * v.data[fromV + d];
        }
        const to = ((b * queries + query) * heads + head) * headDim;
        for (let d = 0; d < headDim; d++) result[to + d] = sums[d] / total;
      }
  return result;
};
