/** @file Reference for adaLayerNorm. */

import type { AdaLayerNormOp } from '../../../graph/ops/ada-layer-norm.ts';
import { modulationAt } from '../modulation.ts';
import { lastAxis, type ReferenceOp } from '../op.ts';
import { normalizeRow } from './layer-norm.ts';

export const adaLayerNorm: ReferenceOp<AdaLayerNormOp> = (
  { x, modulation, table },
  { eps, shift, scale },
) => {
  const channels = lastAxis(x.shape);
  const perImage = x.data.length / x.shape[0];
  const result = new Float32Array(x.data.length);
  for (let from = 0; from < x.data.length; from += channels) {
    const at = modulationAt(modulation, table, Math.floor(from / perImage));
    normalizeRow(x.data.subarray(from, from + channels), eps).forEach((value, c) => {
      result[from + c] = value * (1 + at(scale + c)) + at(shift + c);
    });
  }
  return result;
};
