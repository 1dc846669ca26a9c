/** @file Reference for attention: one query of one head at a time, all its scores, softmax, weighted sum. */

import { biasStrides, type AttentionOp } from '../../../graph/ops/attention.ts';
import { dotRows } from '../dot.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp, type Tensor } from '../op.ts';

export const attention: ReferenceOp<AttentionOp> = ({ q, k, v, bias }, attrs, output) => {
  const { heads, headDim, scale, causal, offsets } = attrs;
  const [batch = 1, queries = 1] = q.shape;
  const [, keys = 1] = k.shape;
  const result = new Float32Array(elementCount(output));
  const strides = biasStrides(bias?.shape ?? []);
  const vector = new Float64Array(headDim);
  const scores = new Float64Array(keys);
  const sums = new Float64Array(headDim);
  for (let b = 0; b < batch; b++)
    for (let head = 0; head < heads; head++) {
      const at = head * headDim;
      const keyRows = headRows(k, b, offsets[1] + at, headDim);
      const valueColumns = transpose(headRows(v, b, offsets[2] + at, headDim), headDim);
      for (let query = 0; query < queries; query++) {
        const fromQ = (b * queries + query) * lastAxis(q.shape) + offsets[0] + at;
        vector.set(q.data.subarray(fromQ, fromQ + headDim));
        dotRows(vector, keyRows, scores);
        let largest = -Infinity;
        for (let key = 0; key < keys; key++) {
          const fromBias =
            b * strides.batch + key * strides.key + query * strides.query + head * strides.head;
          const seen = !causal || key <= query;
          scores[key] = seen ? scores[key] * scale + (bias?.data[fromBias] ?? 0) : -Infinity;
          largest = Math.max(largest, scores[key]);
        }
        let total = 0;
        for (let key = 0; key < keys; key++) total += scores[key] = Math.exp(scores[key] - largest);
        dotRows(scores, valueColumns, sums);
        const to = ((b * queries + query) * heads + head) * headDim;
        for (let d = 0; d < headDim; d++) result[to + d] = sums[d] / total;
      }
    }
  return result;
};

/** One head's vectors in one image, [tokens, headDim]. */
function headRows({ shape, data }: Tensor, image: number, offset: number, headDim: number): Float32Array {
  const [, tokens = 1] = shape;
  const rows = new Float32Array(tokens * headDim);
  for (let token = 0; token < tokens; token++) {
    const from = (image * tokens + token) * lastAxis(shape) + offset;
    rows.set(data.subarray(from, from + headDim), token * headDim);
  }
  return rows;
}

/** [rows, columns] to [columns, rows]. */
function transpose(values: Float32Array, columns: number): Float32Array {
  const rows = values.length / columns;
  return mapElements(values.length, (i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}
