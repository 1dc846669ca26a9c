/** @file The lowest frequencies of images scaled. */

import { fourierWaves } from 'calotype/backend-kit';
import { channelsOf, defineCudaKernel, elementOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';

export const fourierFilterLaunch = defineLaunch('fourier_filter', {
  x: 'pointer',
  y: 'pointer',
  rowWaves: 'pointer',
  columnWaves: 'pointer',
  images: 'i32',
  height: 'i32',
  width: 'i32',
  channels: 'i32',
  change: 'f32',
  element: 'i32',
});

export const fourierFilter = defineCudaKernel({
  id: 'fourier-filter',
  ops: ['fourierFilter'],
  launches(node, context) {
    const [images, height, width] = context.shapeOf(node.output);
    return [
      fourierFilterLaunch.with({
        x: 'x',
        y: 'y',
        rowWaves: { data: fourierWaves(height) },
        columnWaves: { data: fourierWaves(width) },
        images,
        height,
        width,
        channels: channelsOf(context, node.output),
        change: (node.attrs.scale - 1) / (height * width),
        element: elementOf(context, node.output),
      }),
    ];
  },
});
