/** @file Adds biases in the epilogue of the convolution or linear layer that made the value. */

import { rewriteNodes, type Pass } from './pass.ts';

export const fuseBias: Pass = {
  name: 'bias',
  summary: 'convolution or linear + bias',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce }) => {
      if (node.kind !== 'addBias') return undefined;
      const layer = producer(node.inputs.x);
      if (layer?.kind !== 'conv2d' && layer?.kind !== 'linear')
        return 'no convolution or linear layer before it';
      if (!usedOnce(layer.output)) return 'the sum without bias is used elsewhere';
      const { bias } = node.inputs;
      return layer.kind === 'conv2d'
        ? [{ ...layer, inputs: { ...layer.inputs, bias }, output: node.output }]
        : [{ ...layer, inputs: { ...layer.inputs, bias }, output: node.output }];
    }),
};
