/** @file Token embedding, plus position embedding where there is one; a vocabulary's table is large, and stays in its stored type. */

import { defineCpuKernel, elementCount, weightTypeCode } from '../kernel.ts';
import { STORED } from '../packing.ts';

export const embedTokens = defineCpuKernel({
  id: 'embed-tokens',
  ops: ['embedTokens'],
  packing: (node) => ({ table: STORED, ...(node.inputs.positions !== undefined && { positions: STORED }) }),
  launches(node, context) {
    const { ids, table, positions } = node.inputs;
    const [, tokens] = context.shapeOf(ids);
    const [rows, channels] = context.shapeOf(table);
    return [
      {
        name: 'embedTokens',
        tasks: elementCount(context.shapeOf(ids)),
        args: [
          'ids',
          'table',
          'positions',
          'y',
          tokens,
          channels,
          rows,
          weightTypeCode(context.weightType('table')),
          positions === undefined ? 0 : weightTypeCode(context.weightType('positions')),
        ],
      },
    ];
  },
});
