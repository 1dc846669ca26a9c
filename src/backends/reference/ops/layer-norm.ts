/** @file Reference for layerNorm. */

import type { LayerNormOp } from '../../../graph/ops/layer-norm.ts';
import { lastAxis, type ReferenceOp } from '../op.ts';

export const layerNorm: ReferenceOp<LayerNormOp> = ({ x, weight, bias }, { eps }) => {
  const channels = lastAxis(x.shape);
  const result = new Float32Array(x.data.length);
  for (let from = 0; from < x.data.length; from += channels) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += x.data[from + c];
    const mean = sum / channels;
    let squares = 0;
    for (let c = 0; c < channels; c++) squares += (x.data[from + c] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / channels + eps);
    for (let c = 0; c < channels; c++)
      result[from + c] = (x.data[from + c] - mean) * scale * weight.data[c] + bias.data[c];
  }
  return result;
};
