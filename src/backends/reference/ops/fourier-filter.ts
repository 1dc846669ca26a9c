/** @file Reference for fourierFilter: the projection onto the frequencies that are scaled, written out. */

import type { FourierFilterOp } from '../../../graph/ops/fourier-filter.ts';
import type { ReferenceOp } from '../op.ts';

/** Frequencies of an axis that are scaled: 0, and -1 where it is another one. */
function frequencies(size: number): readonly number[] {
  return size > 1 ? [0, -1] : [0];
}

export const fourierFilter: ReferenceOp<FourierFilterOp> = ({ x }, { scale }) => {
  const [batch, height, width, channels] = x.shape;
  const out = Float32Array.from(x.data);
  const pixels = height * width;
  for (const fy of frequencies(height))
    for (const fx of frequencies(width)) {
      const angles = Array.from({ length: pixels }, (_, p) => {
        const [row, column] = [Math.floor(p / width), p % width];
        return 2 * Math.PI * ((fy * row) / height + (fx * column) / width);
      });
      for (let image = 0; image < batch; image++)
        for (let channel = 0; channel < channels; channel++) {
          const at = (p: number): number => (image * pixels + p) * channels + channel;
          let [re, im] = [0, 0];
          angles.forEach((angle, p) => {
            re += x.data[at(p)] * Math.cos(angle);
            im -= x.data[at(p)] * Math.sin(angle);
          });
          angles.forEach((angle, p) => {
            out[at(p)] += ((scale - 1) * (re * Math.cos(angle) - im * Math.sin(angle))) / pixels;
          });
        }
    }
  return out;
};
