/** @file Reads a nearest-neighbour doubled image straight from the small one. Other sizes keep the resize. */

import { mulDims, sameDim } from '../tensor/shape.ts';
import { rewriteNodes, type Pass } from './pass.ts';

export const fuseUpsample: Pass = {
  name: 'upsample',
  summary: 'upsample by two + convolution',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce, value }) => {
      if (node.kind !== 'conv2d' || node.attrs.upsample) return undefined;
      const resize = producer(node.inputs.x);
      if (resize?.kind !== 'upsampleNearest') return undefined;
      const [, height = 0, width = 0] = value(resize.inputs.x).shape;
      if (
        !sameDim(resize.attrs.height, mulDims(height, 2)) ||
        !sameDim(resize.attrs.width, mulDims(width, 2))
      )
        return 'the size does not double';
      if (node.inputs.x2 !== undefined) return 'the convolution reads a second source';
      if (!usedOnce(resize.output)) return 'the resized image is used elsewhere';
      if (node.attrs.stride !== 1) return 'the convolution has a stride';
      return [
        { ...node, inputs: { ...node.inputs, x: resize.inputs.x }, attrs: { ...node.attrs, upsample: true } },
      ];
    }),
};
