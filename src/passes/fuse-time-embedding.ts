/** @file Adds the time embedding's vector in the convolution's epilogue, straight from its table if it has one. */

import { rewriteNodes, type Pass } from './pass.ts';

export const fuseTimeEmbedding: Pass = {
  name: 'time-embedding',
  summary: 'convolution + time embedding',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce }) => {
      if (node.kind !== 'addRows') return undefined;
      const gather = producer(node.inputs.rows);
      if (gather?.kind === 'gatherRows' && node.inputs.rowIndex === undefined)
        return [
          { ...node, inputs: { x: node.inputs.x, rows: gather.inputs.table, rowIndex: gather.inputs.index } },
        ];
      const conv = producer(node.inputs.x);
      if (conv?.kind !== 'conv2d') return 'no convolution before it';
      if (!usedOnce(conv.output)) return 'the sum without time embedding is used elsewhere';
      if (
        conv.attrs.activation !== 'none' ||
        conv.inputs.residual !== undefined ||
        conv.inputs.rows !== undefined
      )
        return 'the convolution has a later epilogue already';
      const { x: _, ...rows } = node.inputs;
      return [{ ...conv, inputs: { ...conv.inputs, ...rows }, output: node.output }];
    }),
};
