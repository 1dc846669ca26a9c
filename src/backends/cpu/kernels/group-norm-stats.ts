/** @file Statistics of a group normalisation that is done in parts. */

import { defineCpuKernel } from '../kernel.ts';
import { fitsScratch, momentsLaunch, partialBytes, statisticsLaunch } from './group-norm.ts';

export const groupNormStats = defineCpuKernel({
  id: 'group-norm-stats',
  ops: ['groupNormStats'],
  supports: fitsScratch,
  scratchBytes: (node, context) => [partialBytes(node, context)],
  launches: (node, context) => [momentsLaunch(node, context), statisticsLaunch(node, context)],
});
