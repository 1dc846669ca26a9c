/**
 * @file Resizing 8-bit pictures as Pillow does, bit for bit (libImaging/Resample.c): a horizontal and a vertical pass
 * with the filter stretched by the reduction, weights in fixed point, and 8 bits between the passes. As that makes their
 * order matter, it is Pillow 13's: vertical first where it takes away more than twice as many rows as the other columns.
 */
import { OptionError } from '../errors.ts';

/** A picture of 8-bit samples, interleaved, row by row from the top left: 1 channel (L) or 3 (RGB). */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** Height and width in pixels. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** A part of a picture in pixels; edges may lie between pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Pillow's LANCZOS and BICUBIC. */
export type ResizeFilter = 'lanczos' | 'bicubic';

/** A filter's value at a distance, and the distance beyond which it is zero. */
interface Kernel {
  readonly support: number;
  readonly at: (x: number) => number;
}

function sinc(x: number): number {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}

/** Keys 1981 with a = -0.5. */
function cubic(x: number): number {
  const [distance, a] = [Math.abs(x), -0.5];
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
}

const KERNELS: Readonly<Record<ResizeFilter, Kernel>> = {
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
  bicubic: { support: 2, at: cubic },
};

/** Weights have this many bits after the point. */
const ONE = 2 ** 22;

/** The source samples of one target sample. */
interface Window {
  readonly first: number;
  readonly weights: Int32Array;
}

/** The windows of all target samples along one side of `size` samples, of which `start` to `end` are resized. */
function windowsOf(
  { support, at }: Kernel,
  size: number,
  [start, end]: readonly [number, number],
  target: number,
): Window[] {
  const scale = (end - start) / target;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: target }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), size);
    const inverse = 1 / stretch;
    const values = Float64Array.from({ length: last - first }, (_unused, k) =>
      at((k + first - centre + 0.5) * inverse),
    );
    const sum = values.reduce((a, b) => a + b, 0);
    const weights = Int32Array.from(values, (value) => {
      const scaled = (sum === 0 ? value : value / sum) * ONE;
      return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    });
    return { first, weights };
  });
}

/** How a pass walks: along each line the `step` values at a place are resized together (a pixel's, or a whole row's). */
interface Pass {
  readonly lines: number;
  readonly step: number;
  /** Values from a line to the next, before and after. */
  readonly lineBefore: number;
  readonly lineAfter: number;
}

function resample(
  source: Uint8Array,
  windows: readonly Window[],
  { lines, step, lineBefore, lineAfter }: Pass,
): Uint8Array {
  const out = new Uint8Array(lines * lineAfter);
  for (let line = 0; line < lines; line++)
    for (let i = 0; i < windows.length; i++) {
      const { first, weights } = windows[i];
      const from = line * lineBefore + first * step;
      const to = line * lineAfter + i * step;
      for (let c = 0; c < step; c++) {
        let sum = ONE / 2;
        for (let k = 0; k < weights.length; k++) sum += source[from + k * step + c] * weights[k];
        out[to + c] = Math.min(Math.max(Math.floor(sum / ONE), 0), 255);
      }
    }
  return out;
}

/**
 * The picture, or the part in `box`, at another size; equal to Pillow's `Image.resize` for modes L and RGB.
 * @throws OptionError for a size that is not positive and a box that is not inside the picture.
 */
export function resizePixels(
  { width, height, channels, data }: Pixels,
  size: Size,
  filter: ResizeFilter,
  box: Box = { left: 0, top: 0, right: width, bottom: height },
): Pixels {
  if (![size.width, size.height].every((side) => Number.isInteger(side) && side > 0))
    throw new OptionError(`${size.width}x${size.height} is not a size`, {
      field: 'size',
      remedy: 'Give whole numbers, 1 or more',
    });
  const { left, top, right, bottom } = box;
  if (!(left >= 0 && top >= 0 && right <= width && bottom <= height && left <= right && top <= bottom))
    throw new OptionError(
      `${left}, ${top} to ${right}, ${bottom} is not a part of a ${width}x${height} picture`,
      {
        field: 'box',
        remedy: 'Give a box inside the picture',
      },
    );
  const kernel = KERNELS[filter];
  const horizontal = windowsOf(kernel, width, [left, right], size.width);
  const vertical = windowsOf(kernel, height, [top, bottom], size.height);
  // A pass that keeps the size is left out, as in Pillow.
  const narrow = (pixels: Uint8Array, lines: number): Uint8Array =>
    size.width === width && left === 0 && right === width
      ? pixels
      : resample(pixels, horizontal, {
          lines,
          step: channels,
          lineBefore: width * channels,
          lineAfter: size.width * channels,
        });
  const flatten = (pixels: Uint8Array, columns: number): Uint8Array =>
    size.height === height && top === 0 && bottom === height
      ? pixels
      : resample(pixels, vertical, {
          lines: 1,
          step: columns * channels,
          lineBefore: 0,
          lineAfter: columns * size.height * channels,
        });
  const verticalFirst = size.height < height && height - size.height > 2 * (width - size.width);
  const pixels = verticalFirst
    ? narrow(flatten(data, width), size.height)
    : flatten(narrow(data, height), size.width);
  return { ...size, channels, data: pixels === data ? data.slice() : pixels };
}
