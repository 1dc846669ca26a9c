/**
 * @file Inpainting of a part at full resolution (diffusers' `padding_mask_crop`): the part around the mask is cut out
 * and enlarged, and what was painted is put back (diffusers/image_processor.py: get_crop_region, _resize_and_fill,
 * _resize_and_crop, apply_overlay). Arithmetic on pixels is Pillow's, in 8 bits.
 */
import { OptionError } from '../errors.ts';
import type { CalotypeImage } from './image.ts';
import { toGreyPixels, toRgbPixels } from './rgb-pixels.ts';
import { resizePixels, type Box, type Pixels, type Size } from './resize.ts';

/**
 * The smallest part of a picture that holds all of its mask that is not black and `padding` pixels around it, widened
 * to the proportions of `size` where the picture allows.
 * @throws OptionError for a mask that is black
 */
export function cropRegion(mask: CalotypeImage, size: Size, padding: number): Box {
  const { width, height } = mask;
  const { data } = toGreyPixels(toRgbPixels(mask));
  let [left, top, right, bottom] = [width, height, 0, 0];
  data.forEach((value, p) => {
    if (value === 0) return;
    const [x, y] = [p % width, Math.floor(p / width)];
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y + 1);
  });
  if (right === 0)
    throw new OptionError('it is black, so there is nothing to paint', {
      field: 'maskImage',
      remedy: 'Make the part white that is to be painted anew',
    });
  const x = [Math.max(left - padding, 0), Math.min(right + padding, width)] as const;
  const y = [Math.max(top - padding, 0), Math.min(bottom + padding, height)] as const;
  const proportion = size.width / size.height;
  const wide = (x[1] - x[0]) / (y[1] - y[0]) > proportion;
  const [x1, x2] = wide ? x : widen(x, Math.trunc((y[1] - y[0]) * proportion - (x[1] - x[0])), width);
  const [y1, y2] = wide ? widen(y, Math.trunc((x[1] - x[0]) / proportion - (y[1] - y[0])), height) : y;
  return { left: x1, top: y1, right: x2, bottom: y2 };
}

/** A range that is `more` longer, moved back between 0 and `limit`, and cut there. */
function widen([first, last]: readonly [number, number], more: number, limit: number): [number, number] {
  let from = first - Math.floor(more / 2);
  let to = last + more - Math.floor(more / 2);
  if (to >= limit) [from, to] = [from - (to - limit), limit];
  if (from < 0) [from, to] = [0, to - from];
  return [from, Math.min(to, limit)];
}

/** A part with whole edges. */
export function cropPixels({ width, channels, data }: Pixels, { left, top, right, bottom }: Box): Pixels {
  const [columns, rows] = [right - left, bottom - top];
  const out = new Uint8Array(columns * rows * channels);
  for (let y = 0; y < rows; y++) {
    const from = ((top + y) * width + left) * channels;
    out.set(data.subarray(from, from + columns * channels), y * columns * channels);
  }
  return { width: columns, height: rows, channels, data: out };
}

/** Fitted into a size in the middle; its edges are drawn out to fill the rest. */
export function resizeAndFill(pixels: Pixels, { width, height }: Size): Pixels {
  const { fits, isWide } = fit(pixels, { width, height });
  const inner = isWide ? { width, height: fits.height } : { width: fits.width, height };
  const resized = resizePixels(pixels, inner, 'lanczos');
  const out = blank({ width, height }, pixels.channels);
  const [left, top] = [middle(width, inner.width), middle(height, inner.height)];
  paste(out, resized, left, top);
  const edge = (size: Size, box: Box): Pixels => resizePixels(resized, size, 'bicubic', box);
  if (isWide && top > 0) {
    paste(out, edge({ width, height: top }, { left: 0, top: 0, right: width, bottom: 0 }), 0, 0);
    const last = { left: 0, top: inner.height, right: width, bottom: inner.height };
    paste(out, edge({ width, height: top }, last), 0, top + inner.height);
  }
  if (!isWide && left > 0) {
    paste(out, edge({ width: left, height }, { left: 0, top: 0, right: 0, bottom: height }), 0, 0);
    const last = { left: inner.width, top: 0, right: inner.width, bottom: height };
    paste(out, edge({ width: left, height }, last), left + inner.width, 0);
  }
  return out;
}

/** Enlarged to cover a size, its middle. */
export function resizeAndCrop(pixels: Pixels, { width, height }: Size): Pixels {
  const { covers, isWide } = fit(pixels, { width, height });
  const outer = isWide ? { width: covers.width, height } : { width, height: covers.height };
  const out = blank({ width, height }, pixels.channels);
  paste(
    out,
    resizePixels(pixels, outer, 'lanczos'),
    middle(width, outer.width),
    middle(height, outer.height),
  );
  return out;
}

/**
 * What was painted for a part, put back into its picture under what the mask keeps: an opaque picture of the
 * original's size.
 */
export function overlay(
  painted: CalotypeImage,
  original: CalotypeImage,
  mask: CalotypeImage,
  region: Box,
): CalotypeImage {
  const { width, height } = original;
  const size = { width: region.right - region.left, height: region.bottom - region.top };
  const base = blank({ width, height }, 3);
  paste(base, resizeAndCrop(toRgbPixels(painted), size), region.left, region.top);
  const grey = toGreyPixels(toRgbPixels(mask));
  const data = new Uint8ClampedArray(width * height * 4);
  for (let p = 0; p < width * height; p++) {
    // The original becomes a layer whose opacity is the inverted mask, with 8-bit premultiplied colours on the way.
    const alpha = 255 - grey.data[p];
    for (let c = 0; c < 3; c++) {
      const premultiplied = divideBy255(original.data[p * 4 + c] * alpha + 128);
      const colour =
        alpha === 0 || alpha === 255
          ? premultiplied
          : Math.min(Math.floor((255 * premultiplied) / alpha), 255);
      const below = base.data[p * 3 + c];
      // Pillow's alpha_composite over an opaque picture, with 7 more bits.
      const mixed = colour * alpha * 128 + below * (255 - alpha) * 128;
      data[p * 4 + c] = alpha === 0 ? below : divideBy255(mixed + 128 * 128) >> 7;
    }
    data[p * 4 + 3] = 255;
  }
  return { width, height, data };
}

/** Pillow's quick division; exact for the sums that it is used on. */
function divideBy255(value: number): number {
  return ((value >> 8) + value) >> 8;
}

/** Sizes of the same proportions as `from`, as wide or as high as `size`. */
function fit(from: Size, { width, height }: Size): { fits: Size; covers: Size; isWide: boolean } {
  const byWidth = { width, height: Math.floor((from.height * width) / from.width) };
  const byHeight = { width: Math.floor((from.width * height) / from.height), height };
  const isWide = width / height < from.width / from.height;
  return { fits: isWide ? byWidth : byHeight, covers: isWide ? byHeight : byWidth, isWide };
}

function middle(outer: number, inner: number): number {
  return Math.floor(outer / 2) - Math.floor(inner / 2);
}

function blank({ width, height }: Size, channels: number): Pixels {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

/** Copies `source` into `target` where they overlap. */
function paste(target: Pixels, source: Pixels, left: number, top: number): void {
  const { channels } = target;
  const [from, to] = [Math.max(left, 0), Math.min(left + source.width, target.width)];
  for (let y = Math.max(top, 0); y < Math.min(top + source.height, target.height); y++) {
    const row = ((y - top) * source.width - left) * channels;
    target.data.set(
      source.data.subarray(row + from * channels, row + to * channels),
      (y * target.width + from) * channels,
    );
  }
}
