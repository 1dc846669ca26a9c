/** @file Gates the feed-forward's projection in its epilogue, halving what it writes. */

import { rewriteNodes, type Pass } from './pass.ts';

export const fuseGeglu: Pass = {
  name: 'geglu',
  summary: 'linear + GEGLU',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce }) => {
      if (node.kind !== 'geglu') return undefined;
      const layer = producer(node.inputs.x);
      if (layer?.kind !== 'linear') return 'no linear layer before it';
      if (!usedOnce(layer.output)) return 'the projection is used elsewhere';
      if (layer.attrs.activation !== 'none' || layer.inputs.residual !== undefined)
        return 'the layer has an epilogue already';
      return [{ ...layer, attrs: { activation: 'geglu' }, output: node.output }];
    }),
};
