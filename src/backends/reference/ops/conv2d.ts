/** @file Reference for conv2d: for every output pixel, the patch it sees against every filter. */

import type { Conv2dOp } from '../../../graph/ops/conv2d.ts';
import { ACTIVATIONS } from '../activation.ts';
import { dotRows } from '../dot.ts';
import { elementCount, type ReferenceOp } from '../op.ts';
import { joinChannels } from './concat.ts';

export const conv2d: ReferenceOp<Conv2dOp> = (inputs, attrs, output) => {
  const { x, x2, weight, bias, rows, rowIndex, residual } = inputs;
  const { stride, padding, upsample } = attrs;
  const source = joinChannels(x, x2);
  const [, height = 1, width = 1] = x.shape;
  const [, channels = 1, kernelHeight = 1, kernelWidth = 1] = weight.shape;
  const [batch = 1, outHeight = 1, outWidth = 1, outChannels = 1] = output;
  const scale = upsample ? 2 : 1;
  const activate = ACTIVATIONS[attrs.activation];
  const result = new Float32Array(elementCount(output));
  // In the order of one filter, [channels, kernelHeight, kernelWidth].
  const patch = new Float64Array(channels * kernelHeight * kernelWidth);
  const sums = new Float64Array(outChannels);
  let to = 0;
  for (let image = 0; image < batch; image++) {
    const row = (rowIndex ? rowIndex.data[image] : image) * outChannels;
    for (let oy = 0; oy < outHeight; oy++)
      for (let ox = 0; ox < outWidth; ox++) {
        for (let ky = 0; ky < kernelHeight; ky++)
          for (let kx = 0; kx < kernelWidth; kx++) {
            const y = oy * stride + ky - padding[0];
            const x = ox * stride + kx - padding[1];
            const inside = y >= 0 && y < height * scale && x >= 0 && x < width * scale;
            const from =
              ((image * height + Math.floor(y / scale)) * width + Math.floor(x / scale)) * channels;
            const step = kernelHeight * kernelWidth;
            for (let c = 0, at = ky * kernelWidth + kx; c < channels; c++, at += step)
              patch[at] = inside ? source[from + c] : 0;
          }
        dotRows(patch, weight.data, sums);
        for (let c = 0; c < outChannels; c++, to++) {
          let sum = sums[c];
          if (bias) sum += bias.data[c];
          if (rows) sum += rows.data[row + c];
          if (residual) sum += residual.data[to];
          result[to] = activate(sum);
        }
      }
  }
  return result;
};
