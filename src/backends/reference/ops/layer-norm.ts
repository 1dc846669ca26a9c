/** @file Reference for layerNorm. */

import type { LayerNormOp } from '../../../graph/ops/layer-norm.ts';
import { lastAxis, type Data, type ReferenceOp } from '../op.ts';

/** A row with mean 0 and, but for `eps`, variance 1. */
export function normalizeRow(row: Data, eps: number): Float64Array {
  const values = Float64Array.from(row);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const scale = 1 / Math.sqrt(squares / values.length + eps);
  return values.map((value) => (value - mean) * scale);
}

export const layerNorm: ReferenceOp<LayerNormOp> = ({ x, weight, bias }, { eps }) => {
  const channels = lastAxis(x.shape);
  const result = new Float32Array(x.data.length);
  for (let from = 0; from < x.data.length; from += channels)
    normalizeRow(x.data.subarray(from, from + channels), eps).forEach((value, c) => {
      result[from + c] = value * weight.data[c] + bias.data[c];
    });
  return result;
};
