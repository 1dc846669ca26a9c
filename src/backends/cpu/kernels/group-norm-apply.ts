/** @file Group normalisation by given statistics. */

import { defineCpuKernel } from '../kernel.ts';
import { rowsLaunch, scalesLaunch, tableBytes } from './group-norm.ts';

export const groupNormApply = defineCpuKernel({
  id: 'group-norm-apply',
  ops: ['groupNormApply'],
  scratchBytes: (node, context) => [tableBytes(node, context)],
  launches: (node, context) => [
    scalesLaunch(node, context, 'scratch0'),
    rowsLaunch(node, context, 'scratch0'),
  ],
});
