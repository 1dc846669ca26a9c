/** @file Statistics of a group norm over a part of an image, for values that are worked on in parts. */

import { momentsBytes, statisticsLaunches } from './group-norm.ts';
import { defineKernel } from './kernel.ts';

export const groupNormFold = defineKernel({
  id: 'group-norm-fold',
  ops: ['groupNormStats'],
  scratchBytes: (node, context) => [momentsBytes(node, context)],
  launches: statisticsLaunches,
});
