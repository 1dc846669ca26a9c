/** @file Applies activations in the epilogue of the layer or norm that made the value. */

import { rewriteNodes, type Pass } from './pass.ts';

export const fuseActivation: Pass = {
  name: 'activation',
  summary: 'convolution, linear or group norm + activation',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce }) => {
      if (node.kind !== 'activate') return undefined;
      const maker = producer(node.inputs.x);
      if (maker?.kind !== 'conv2d' && maker?.kind !== 'linear' && maker?.kind !== 'groupNorm')
        return 'no convolution, linear layer or group norm before it';
      if (!usedOnce(maker.output)) return 'the value before the activation is used elsewhere';
      if (maker.attrs.activation !== 'none') return 'the layer has an activation already';
      const { activation } = node.attrs;
      switch (maker.kind) {
        case 'conv2d':
          return [{ ...maker, attrs: { ...maker.attrs, activation }, output: node.output }];
        case 'linear':
          return [{ ...maker, attrs: { ...maker.attrs, activation }, output: node.output }];
        case 'groupNorm':
          return [{ ...maker, attrs: { ...maker.attrs, activation }, output: node.output }];
      }
    }),
};
