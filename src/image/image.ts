/**
 * @file Pictures as users hold them, and the step from a decoder's output to them, as diffusers' `VaeImageProcessor`
 * takes it (diffusers/image_processor.py: denormalize, pt_to_numpy, numpy_to_pil).
 */
import { ConfigError } from '../errors.ts';

/** A picture; it has the fields that a browser's `ImageData` has. */
export interface CalotypeImage {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** RGBA, 8 bits each, alpha not premultiplied, row by row from the top left. */
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** What a decoder gives: [images, height, width, 3], about -1..1. */
export interface DecodedPixels {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A decoder's -1..1 as 0..1, clamped: a value of `outputType: 'np'`. NaN stays NaN. */
export function toUnitRange(value: number): number {
  return Math.min(1, Math.max(0, Math.fround(value * 0.5 + 0.5)));
}

/**
 * Opaque pictures from a decoder's output: 255 times its unit range, rounded to float32 as numpy does. What a clamped array
 * stores is cut off at both ends and rounded to the nearest whole number, ties to even; NaN becomes 0.
 * Throws ConfigError unless there are three channels.
 */
export function toImages({ shape, data }: DecodedPixels): CalotypeImage[] {
  const [images, height, width, channels] = shape;
  if (channels !== 3)
    throw new ConfigError(`the decoder gives ${channels} channels, but pictures have 3`, {
      field: 'out_channels',
      remedy: "Use outputType: 'latent' or another VAE",
    });
  const values = height * width * 3;
  return Array.from({ length: images }, (_, image) => ({
    width,
    height,
    data: toRgba(data.subarray(image * values, (image + 1) * values)),
  }));
}

/** A function of its own, without a loop over three channels: engines make that twice as fast. */
function toRgba(rgb: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4);
  for (let source = 0, target = 0; target < rgba.length; source += 3, target += 4) {
    rgba[target] = Math.fround(Math.fround(rgb[source] * 0.5 + 0.5) * 255);
    rgba[target + 1] = Math.fround(Math.fround(rgb[source + 1] * 0.5 + 0.5) * 255);
    rgba[target + 2] = Math.fround(Math.fround(rgb[source + 2] * 0.5 + 0.5) * 255);
    rgba[target + 3] = 255;
  }
  return rgba;
}
