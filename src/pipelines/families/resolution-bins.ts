/**
 * @file The sizes that PixArt was trained at, and how diffusers draws other ones: at the trained size of the nearest aspect
 * ratio, resized and cropped afterwards (`use_resolution_binning`).
 */

import type { DecodedPixels } from '../../image/image.ts';
import type { Size } from '../../image/resize.ts';
import { resizeBilinear } from '../../image/resize-bilinear.ts';
import { refuse } from '../options/checks.ts';

/** Height / width, as it is compared, and the size at 1024 pixels; the other models' are a half and a quarter of it. */
const BINS_OF_1024: readonly (readonly [ratio: number, height: number, width: number])[] = [
  [0.25, 512, 2048],
  [0.28, 512, 1856],
  [0.32, 576, 1792],
  [0.33, 576, 1728],
  [0.35, 576, 1664],
  [0.4, 640, 1600],
  [0.42, 640, 1536],
  [0.48, 704, 1472],
  [0.5, 704, 1408],
  [0.52, 704, 1344],
  [0.57, 768, 1344],
  [0.6, 768, 1280],
  [0.68, 832, 1216],
  [0.72, 832, 1152],
  [0.78, 896, 1152],
  [0.82, 896, 1088],
  [0.88, 960, 1088],
  [0.94, 960, 1024],
  [1, 1024, 1024],
  [1.07, 1024, 960],
  [1.13, 1088, 960],
  [1.21, 1088, 896],
  [1.29, 1152, 896],
  [1.38, 1152, 832],
  [1.46, 1216, 832],
  [1.67, 1280, 768],
  [1.75, 1344, 768],
  [2, 1408, 704],
  [2.09, 1472, 704],
  [2.4, 1536, 640],
  [2.5, 1600, 640],
  [3, 1728, 576],
  [4, 2048, 512],
];

/** Latent sizes of the models that there are bins for. */
const SAMPLE_SIZES: readonly number[] = [128, 64, 32];

/**
 * The size at which a picture of this size is drawn.
 * @param sampleSize side of the latents that the model was trained at
 * @throws OptionError for a model of another size than the published ones
 */
export function binnedSize({ height, width }: Size, sampleSize: number): Size {
  if (!SAMPLE_SIZES.includes(sampleSize))
    refuse(
      'useResolutionBinning',
      `there are no sizes for models trained at latents of ${sampleSize}, only of ${SAMPLE_SIZES.join(', ')}`,
      'Set it to false',
    );
  const asked = height / width;
  const distance = ([ratio]: (typeof BINS_OF_1024)[number]): number => Math.abs(ratio - asked);
  const [, binHeight, binWidth] = BINS_OF_1024.reduce((best, bin) =>
    distance(bin) < distance(best) ? bin : best,
  );
  const scale = sampleSize / SAMPLE_SIZES[0];
  return { height: binHeight * scale, width: binWidth * scale };
}

/**
 * Pictures made to cover another size, and the middle cut out of them (`resize_and_crop_tensor`). Where rounding leaves
 * diffusers' resized picture a pixel short, it cuts out a sliver; here it is made as large as it must be.
 */
export function resizeAndCrop({ shape, data }: DecodedPixels, size: Size): DecodedPixels {
  const [images, height, width, channels] = shape;
  if (height === size.height && width === size.width) return { shape, data };
  const ratio = Math.max(size.height / height, size.width / width);
  const covering = {
    height: Math.max(Math.trunc(height * ratio), size.height),
    width: Math.max(Math.trunc(width * ratio), size.width),
  };
  const top = Math.floor((covering.height - size.height) / 2);
  const left = Math.floor((covering.width - size.width) / 2);
  const whole = resizeBilinear({ images, height, width, channels, data }, covering);
  const length = size.width * channels;
  const result = new Float32Array(images * size.height * length);
  for (let image = 0; image < images; image++)
    for (let row = 0; row < size.height; row++) {
      const from = ((image * covering.height + top + row) * covering.width + left) * channels;
      result.set(whole.subarray(from, from + length), (image * size.height + row) * length);
    }
  return { shape: [images, size.height, size.width, channels], data: result };
}
