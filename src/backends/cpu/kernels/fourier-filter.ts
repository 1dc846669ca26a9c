/** @file The lowest frequencies of images scaled. */

import { channelsOf, defineCpuKernel } from '../kernel.ts';

/** Cosine and sine of each pixel's angle along an axis; nothing where the axis has no other frequency. */
function waves(size: number): { readonly data: Float32Array } {
  const angle = (at: number): number => (2 * Math.PI * at) / size;
  const pairs = Array.from({ length: size }, (_, at) =>
    size > 1 ? [Math.cos(angle(at)), Math.sin(angle(at))] : [0, 0],
  );
  return { data: Float32Array.from(pairs.flat()) };
}

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
        args: ['x', 'y', height, width, channels, waves(height), waves(width), change],
      },
    ];
  },
});
