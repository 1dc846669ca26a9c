/**
 * @file Pictures as a VAE takes them, made as diffusers' `VaeImageProcessor` makes them (diffusers/image_processor.py,
 * preprocess): pictures are resized with Lanczos in 8 bits, arrays by nearest neighbour; then 0..1 becomes -1..1.
 */
import type { CalotypeImage } from './image.ts';
import { resizePixels, type Pixels } from './resize.ts';

/** Height and width in pixels. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** Values of images [count, height, width, channels]. */
export interface ImageArray extends Size {
  readonly count: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** A picture's RGB samples; alpha is dropped, as Pillow's `convert('RGB')` does. */
export function toRgbPixels({ width, height, data }: CalotypeImage): Pixels {
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) rgb[p * 3 + c] = data[p * 4 + c];
  return { width, height, channels: 3, data: rgb };
}

/** Luma of RGB samples (ITU-R 601 in 16-bit fixed point), as Pillow's `convert('L')` computes it. */
export function toGreyPixels({ width, height, data }: Pixels): Pixels {
  const grey = new Uint8Array(width * height);
  for (let p = 0; p < grey.length; p++)
    grey[p] = (data[p * 3] * 19595 + data[p * 3 + 1] * 38470 + data[p * 3 + 2] * 7471 + 0x8000) >> 16;
  return { width, height, channels: 1, data: grey };
}

/** Samples of pictures of one size as 0..1. */
export function toUnitArray(pictures: readonly Pixels[]): ImageArray {
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

/** Pictures of a size as [count, height, width, 3] in 0..1. */
export function picturesToArray(pictures: readonly CalotypeImage[], size: Size): ImageArray {
  return toUnitArray(pictures.map((picture) => resizePixels(toRgbPixels(picture), size, 'lanczos')));
}

/** 0..1 as -1..1. */
export function toFullRange(array: ImageArray): ImageArray {
  return { ...array, data: array.data.map((value) => 2 * value - 1) };
}

/** Mask pictures of a size as [count, height, width, 1]: 1 where they are at least half bright, else 0. */
export function masksToArray(pictures: readonly CalotypeImage[], size: Size): ImageArray {
  const grey = pictures.map((picture) => toGreyPixels(resizePixels(toRgbPixels(picture), size, 'lanczos')));
  return binarize(toUnitArray(grey));
}

/** 1 where values are 0.5 or more, else 0. */
export function binarize(array: ImageArray): ImageArray {
  return { ...array, data: array.data.map((value) => (value >= 0.5 ? 1 : 0)) };
}
