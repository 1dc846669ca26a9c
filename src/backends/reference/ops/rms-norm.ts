/** @file Reference for rmsNorm. */

import type { RmsNormOp } from '../../../graph/ops/rms-norm.ts';
import { lastAxis, type ReferenceOp } from '../op.ts';

export const rmsNorm: ReferenceOp<RmsNormOp> = ({ x, weight }, { eps }) => {
  const channels = lastAxis(x.shape);
  const result = new Float32Array(x.data.length);
  for (let from = 0; from < x.data.length; from += channels) {
    let squares = 0;
    for (let c = 0; c < channels; c++) squares += x.data[from + c] ** 2;
    const scale = 1 / Math.sqrt(squares / channels + eps);
    for (let c = 0; c < channels; c++) result[from + c] = x.data[from + c] * scale * weight.data[c];
  }
  return result;
};
