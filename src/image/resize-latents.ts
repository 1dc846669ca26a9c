/**
 * @file Resizing of latents as `torch.nn.functional.interpolate` does it (ATen/native/UpSample.h), with the modes that
 * stable-diffusion-webui offers for its hires fix.
 */
import { toNchw, toNhwc, type ImageShape } from '../tensor/layout.ts';
import { resizeNearest } from './preprocess.ts';
import type { Size } from './resize.ts';

/** torch's names of modes; `-antialiased` is its option `antialias`. */
export type LatentMode =
  'nearest' | 'nearest-exact' | 'bilinear' | 'bicubic' | 'bilinear-antialiased' | 'bicubic-antialiased';

/** Where one row or column comes from: source indices with their weights. */
type Taps = readonly (readonly [index: number, weight: number])[];

/** Keys 1981. torch has a = -0.75, and -0.5 where it filters against aliases. */
function cubic(x: number, a: number): number {
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

function triangle(x: number): number {
  return Math.max(0, 1 - Math.abs(x));
}

/** Sources of each of `to` pixels along an axis of `from`. */
function tapsOf(from: number, to: number, mode: LatentMode): Taps[] {
  const scale = from / to;
  const clamp = (index: number): number => Math.min(Math.max(index, 0), from - 1);
  return Array.from({ length: to }, (_, i): Taps => {
    if (mode === 'nearest-exact') return [[clamp(Math.floor((i + 0.5) * scale)), 1]];
    const centre = (i + 0.5) * scale;
    if (mode === 'bilinear' || mode === 'bicubic') {
      const at = mode === 'bilinear' ? Math.max(0, centre - 0.5) : centre - 0.5;
      const first = Math.floor(at);
      const reach = mode === 'bilinear' ? [0, 1] : [-1, 0, 1, 2];
      const weight = (x: number): number => (mode === 'bilinear' ? triangle(x) : cubic(x, -0.75));
      return reach.map((step) => [clamp(first + step), weight(at - first - step)]);
    }
    const stretch = Math.max(scale, 1);
    const support = (mode === 'bicubic-antialiased' ? 2 : 1) * stretch;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: end - begin }, (_unused, j) => {
      const x = (begin + j - centre + 0.5) / stretch;
      return mode === 'bicubic-antialiased' ? cubic(x, -0.5) : triangle(x);
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight, j) => [begin + j, weight / total]);
  });
}

/** Latents [images, channels, height, width] at another size. */
export function resizeLatents(
  latents: Float32Array,
  shape: ImageShape,
  size: Size,
  mode: LatentMode,
): Float32Array {
  const [images, channels, height, width] = shape;
  const target = [images, channels, size.height, size.width] as const;
  if (mode === 'nearest') {
    const array = { count: images, height, width, channels, data: toNhwc(latents, shape) };
    return toNchw(resizeNearest(array, size).data, target);
  }
  const [rows, columns] = [tapsOf(height, size.height, mode), tapsOf(width, size.width, mode)];
  const out = new Float32Array(images * channels * size.height * size.width);
  let at = 0;
  for (let plane = 0; plane < images * channels; plane++)
    for (const fromRows of rows)
      for (const fromColumns of columns) {
        let sum = 0;
        for (const [y, weight] of fromRows)
          for (const [x, factor] of fromColumns)
            sum += weight * factor * latents[(plane * height + y) * width + x];
        out[at++] = sum;
      }
  return out;
}
