/** @file Reference for linear. */

import type { LinearOp } from '../../../graph/ops/linear.ts';
import { ACTIVATIONS, gelu } from '../activation.ts';
import { dotRows } from '../dot.ts';
import { elementCount, lastAxis, type ReferenceOp } from '../op.ts';

export const linear: ReferenceOp<LinearOp> = ({ x, weight, bias, residual }, { activation }, output) => {
  const channels = lastAxis(x.shape);
  const outChannels = lastAxis(output);
  const activate = activation === 'geglu' ? undefined : ACTIVATIONS[activation];
  const result = new Float32Array(elementCount(output));
  const vector = new Float64Array(channels);
  const sums = new Float64Array(weight.shape[0]);
  let to = 0;
  for (let from = 0; from < x.data.length; from += channels) {
    vector.set(x.data.subarray(from, from + channels));
    dotRows(vector, weight.data, sums);
    if (bias) for (let c = 0; c < sums.length; c++) sums[c] += bias.data[c];
    for (let c = 0; c < outChannels; c++, to++) {
      const sum = residual ? sums[c] + residual.data[to] : sums[c];
      result[to] = activate ? activate(sum) : sum * gelu(sums[outChannels + c]);
    }
  }
  return result;
};
