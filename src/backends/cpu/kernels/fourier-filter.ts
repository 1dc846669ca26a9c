/** @file The lowest frequencies of images scaled. */

import { fourierWaves } from '../../../graph/ops/fourier-filter.ts';
import { channelsOf, defineCpuKernel } from '../kernel.ts';

export const fourierFilter = defineCpuKernel({
  id: 'fourier-filter',
  ops: ['fourierFilter'],
  launches(node, context) {
    const [images, height, width] = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    const change = { f32: (node.attrs.scale - 1) / (height * width) };
    return [
      {
        name: 'fourierFilter',
        tasks: images * channels,
        args: [
          'x',
          'y',
          height,
          width,
          channels,
          { data: fourierWaves(height) },
          { data: fourierWaves(width) },
          change,
        ],
      },
    ];
  },
});
