/** @file Reference for groupNormApply. */

import type { GroupNormApplyOp } from '../../../graph/ops/group-norm-apply.ts';
import { ACTIVATIONS } from '../activation.ts';
import { lastAxis, mapElements, type ReferenceOp } from '../op.ts';
import { joinChannels } from './concat.ts';

export const groupNormApply: ReferenceOp<GroupNormApplyOp> = (
  { x, x2, stats, weight, bias },
  { groups, eps, activation },
  output,
) => {
  const source = joinChannels(x, x2);
  const channels = lastAxis(output);
  const rowElements = source.length / (output[0] ?? 1);
  const activate = ACTIVATIONS[activation];
  return mapElements(source.length, (i) => {
    const channel = i % channels;
    const group = Math.floor(i / rowElements) * groups + Math.floor(channel / (channels / groups));
    const [count, mean, squares] = stats.data.subarray(3 * group, 3 * group + 3);
    return activate(
      ((source[i] - mean) / Math.sqrt(squares / count + eps)) * weight.data[channel] + bias.data[channel],
    );
  });
};
