/**
 * @file Pictures as CLIP's image encoder takes them, made as transformers' `CLIPImageProcessor` makes them: the shorter side
 * resized with Pillow's bicubic filter, the middle cut out, and the colours normalised.
 */
import { OptionError } from '../errors.ts';
import type { CalotypeImage } from './image.ts';
import { cropPixels } from './padded-crop.ts';
import { resizePixels } from './resize.ts';
import { toRgbPixels } from './rgb-pixels.ts';

/** OpenAI's mean and standard deviation of red, green and blue. */
const MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
const STD = [0.26862954, 0.26130258, 0.27577711] as const;

/** A picture with a side this many times the other would take that much more memory than what is kept of it. */
const MAX_PROPORTION = 64;

/**
 * A picture's middle at `size` x `size` pixels: [size, size, 3].
 * @throws OptionError for pictures that are far longer than wide, or wider than long
 */
export function clipPixels(picture: CalotypeImage, size: number): Float32Array {
  const { width, height } = picture;
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  if (long > MAX_PROPORTION * short)
    throw new OptionError(`a picture of ${width}x${height} pixels shows next to nothing in its middle`, {
      field: 'ipAdapterImage',
      remedy: 'Crop it',
    });
  const longSide = Math.trunc((size * long) / short);
  const resized = width <= height ? { width: size, height: longSide } : { width: longSide, height: size };
  const left = Math.floor((resized.width - size) / 2);
  const top = Math.floor((resized.height - size) / 2);
  const { data } = cropPixels(resizePixels(toRgbPixels(picture), resized, 'bicubic'), {
    left,
    top,
    right: left + size,
    bottom: top + size,
  });
  return Float32Array.from(data, (value, i) => (Math.fround(value / 255) - MEAN[i % 3]) / STD[i % 3]);
}
