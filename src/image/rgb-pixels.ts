/** @file The samples of pictures by themselves, as Pillow converts them. */
import type { CalotypeImage } from './image.ts';
import type { Pixels } from './resize.ts';

/** A picture's RGB samples; alpha is dropped, as by `convert('RGB')`. */
export function toRgbPixels({ width, height, data }: CalotypeImage): Pixels {
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++) for (let c = 0; c < 3; c++) rgb[p * 3 + c] = data[p * 4 + c];
  return { width, height, channels: 3, data: rgb };
}

/** Luma of RGB samples (ITU-R 601 in 16-bit fixed point), as by `convert('L')`. */
export function toGreyPixels({ width, height, data }: Pixels): Pixels {
  const grey = new Uint8Array(width * height);
  for (let p = 0; p < grey.length; p++)
    grey[p] = (data[p * 3] * 19595 + data[p * 3 + 1] * 38470 + data[p * 3 + 2] * 7471 + 0x8000) >> 16;
  return { width, height, channels: 1, data: grey };
}
