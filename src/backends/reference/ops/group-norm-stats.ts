/** @file Reference for groupNormStats: count, mean, and squared differences from the mean. */

import type { GroupNormStatsOp } from '../../../graph/ops/group-norm-stats.ts';
import { elementCount, type ReferenceOp } from '../op.ts';
import { joinChannels } from './concat.ts';

export const groupNormStats: ReferenceOp<GroupNormStatsOp> = ({ x, x2, previous }, { groups }, output) => {
  const source = joinChannels(x, x2);
  const [batch = 1] = output;
  const count = source.length / (batch * groups);
  const channels = source.length / (x.data.length / (x.shape.at(-1) ?? 1));
  const groupOf = (index: number): number =>
    Math.floor(index / (count * groups)) * groups + Math.floor((index % channels) / (channels / groups));
  const [sums, squares] = [new Float64Array(batch * groups), new Float64Array(batch * groups)];
  source.forEach((value, i) => (sums[groupOf(i)] += value));
  source.forEach((value, i) => (squares[groupOf(i)] += (value - sums[groupOf(i)] / count) ** 2));
  const result = new Float32Array(elementCount(output));
  sums.forEach((sum, group) => {
    const mean = sum / count;
    const [n = 0, before = 0, squaresBefore = 0] = previous?.data.subarray(3 * group, 3 * group + 3) ?? [];
    const [total, difference] = [n + count, mean - before];
    const combined = squaresBefore + squares[group] + (difference * difference * n * count) / total;
    result.set([total, before + (difference * count) / total, combined], 3 * group);
  });
  return result;
};
