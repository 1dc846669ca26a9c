/** @file Reference for groupNorm: mean, then variance about it, then the normalised group. */

import type { GroupNormOp } from '../../../graph/ops/group-norm.ts';
import { ACTIVATIONS } from '../activation.ts';
import { elementCount, lastAxis, type ReferenceOp } from '../op.ts';
import { joinChannels } from './concat.ts';

export const groupNorm: ReferenceOp<GroupNormOp> = (
  { x, x2, weight, bias },
  { groups, eps, activation },
  output,
) => {
  const source = joinChannels(x, x2);
  const [batch = 1] = output;
  const channels = lastAxis(output);
  const positions = elementCount(output) / (batch * channels);
  const groupChannels = channels / groups;
  const count = positions * groupChannels;
  const activate = ACTIVATIONS[activation];
  const result = new Float32Array(elementCount(output));
  for (let image = 0; image < batch; image++)
    for (let group = 0; group < groups; group++) {
      const forEach = (use: (index: number, channel: number) => void): void => {
        for (let p = 0; p < positions; p++)
          for (let c = group * groupChannels; c < (group + 1) * groupChannels; c++)
            use((image * positions + p) * channels + c, c);
      };
      let sum = 0;
      forEach((i) => (sum += source[i]));
      const mean = sum / count;
      let squares = 0;
      forEach((i) => (squares += (source[i] - mean) ** 2));
      const scale = 1 / Math.sqrt(squares / count + eps);
      forEach((i, c) => (result[i] = activate((source[i] - mean) * scale * weight.data[c] + bias.data[c])));
    }
  return result;
};
