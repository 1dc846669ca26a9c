/**
 * @file Pictures as a VAE takes them, made as diffusers' `VaeImageProcessor` makes them (diffusers/image_processor.py,
 * preprocess): pictures are resized with Lanczos in 8 bits, arrays by nearest neighbour; then 0..1 becomes -1..1.
 */
import type { CalotypeImage } from './image.ts';
import { cropPixels, resizeAndFill } from './padded-crop.ts';
import { resizePixels, type Box, type Pixels, type ResizeFilter, type Size } from './resize.ts';
import { toGreyPixels, toRgbPixels } from './rgb-pixels.ts';

/** Values of images [count, height, width, channels]. */
export interface ImageArray extends Size {
  readonly count: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** Samples of pictures of one size as 0..1. */
function toUnitArray(pictures: readonly Pixels[]): ImageArray {
  const [{ width, height, channels }] = pictures;
  const length = width * height * channels;
  const data = new Float32Array(pictures.length * length);
  pictures.forEach((picture, i) => data.set(picture.data, i * length));
  return { count: pictures.length, width, height, channels, data: data.map((value) => value / 255) };
}

/** Arrays at another size by `torch.nn.functional.interpolate`'s default, nearest neighbour. */
export function resizeNearest(array: ImageArray, size: Size): ImageArray {
  const { count, height, width, channels, data } = array;
  if (size.height === height && size.width === width) return array;
  const sources = (from: number, to: number): number[] => {
    const scale = Math.fround(from / to);
    return Array.from({ length: to }, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), from - 1));
  };
  const [rows, columns] = [sources(height, size.height), sources(width, size.width)];
  const out = new Float32Array(count * size.height * size.width * channels);
  let target = 0;
  for (let image = 0; image < count; image++)
    for (const y of rows)
      for (const x of columns)
        for (let c = 0; c < channels; c++)
          out[target++] = data[((image * height + y) * width + x) * channels + c];
  return { ...array, ...size, data: out };
}

/** How pictures are brought to a size. */
export interface ResizeOptions {
  /** The part of them to take, its proportions kept; default all, stretched. */
  readonly region?: Box | undefined;
  /** Without a region; default Lanczos. */
  readonly filter?: ResizeFilter;
}

/** Pictures at a size, RGB. */
function resizePictures(
  pictures: readonly CalotypeImage[],
  size: Size,
  { region, filter = 'lanczos' }: ResizeOptions,
): Pixels[] {
  return pictures.map((picture) => {
    const pixels = toRgbPixels(picture);
    return region ? resizeAndFill(cropPixels(pixels, region), size) : resizePixels(pixels, size, filter);
  });
}

/** Pictures, or a part of them, at a size as [count, height, width, 3] in 0..1. */
export function picturesToArray(
  pictures: readonly CalotypeImage[],
  size: Size,
  options: ResizeOptions = {},
): ImageArray {
  return toUnitArray(resizePictures(pictures, size, options));
}

/** 0..1 as -1..1. */
export function toFullRange(array: ImageArray): ImageArray {
  return { ...array, data: array.data.map((value) => 2 * value - 1) };
}

/** Mask pictures likewise as [count, height, width, 1]: 1 where they are at least half bright, else 0. */
export function masksToArray(
  pictures: readonly CalotypeImage[],
  size: Size,
  options: ResizeOptions = {},
): ImageArray {
  return binarize(toUnitArray(resizePictures(pictures, size, options).map(toGreyPixels)));
}

/** 1 where values are 0.5 or more, else 0. */
export function binarize(array: ImageArray): ImageArray {
  return { ...array, data: array.data.map((value) => (value >= 0.5 ? 1 : 0)) };
}
