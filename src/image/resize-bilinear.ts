/** @file Bilinear resizing as torch does it: `F.interpolate(mode='bilinear', align_corners=False)`, without antialiasing. */

import type { Size } from './resize.ts';

/** Images [images, height, width, channels]. */
export interface ImageBatch extends Size {
  readonly images: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** The two neighbours of each output position, and the weight of the second. */
interface Taps {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weight: Float32Array;
}

/** Coordinates are rounded to f32 as in torch. */
function tapsOf(from: number, to: number): Taps {
  const { fround } = Math;
  const scale = fround(from / to);
  const source = Float32Array.from({ length: to }, (_, i) =>
    Math.max(fround(fround(scale * (i + 0.5)) - 0.5), 0),
  );
  const low = Int32Array.from(source, (value) => Math.min(Math.floor(value), from - 1));
  return {
    low,
    high: low.map((value) => Math.min(value + 1, from - 1)),
    weight: source.map((value, i) => Math.min(Math.max(value - low[i], 0), 1)),
  };
}

/** [images, to.height, to.width, channels] */
export function resizeBilinear(
  { images, height, width, channels, data }: ImageBatch,
  to: Size,
): Float32Array {
  const rows = tapsOf(height, to.height);
  const columns = tapsOf(width, to.width);
  const result = new Float32Array(images * to.height * to.width * channels);
  let at = 0;
  for (let image = 0; image < images; image++)
    for (let row = 0; row < to.height; row++) {
      const top = (image * height + rows.low[row]) * width;
      const bottom = (image * height + rows.high[row]) * width;
      const down = rows.weight[row];
      for (let column = 0; column < to.width; column++) {
        const across = columns.weight[column];
        const [left, right] = [columns.low[column], columns.high[column]];
        for (let c = 0; c < channels; c++) {
          const value = (line: number, x: number): number => data[(line + x) * channels + c];
          const above = (1 - across) * value(top, left) + across * value(top, right);
          const below = (1 - across) * value(bottom, left) + across * value(bottom, right);
          result[at++] = (1 - down) * above + down * below;
        }
      }
    }
  return result;
}
