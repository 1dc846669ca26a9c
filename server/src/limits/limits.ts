/** @file What a server lets one request ask for, checked before anything is decoded or queued. */
import { OptionError } from 'calotype';
import type { DrawRequest } from '../draw-request.ts';
import { TooLargeError } from '../errors.ts';
import { pngSize } from './png-size.ts';

/** Upper bounds of requests. */
export interface Limits {
  /** Width times height, of pictures that are drawn and of those that come in. Default 2048 x 2048. */
  readonly pixels: number;
  /** Default 150. */
  readonly steps: number;
  /** Pictures of one request. Default 10. */
  readonly pictures: number;
  /** Bytes of a request's body. Default 50 MiB. */
  readonly bodyBytes: number;
  /** Seconds from a job's acceptance to its end. Default 600. */
  readonly jobSeconds: number;
  /** Requests that one key may have in work. Default 16. */
  readonly concurrent: number;
  /** Requests a minute of one key; 0 for any number. Default 0. */
  readonly perMinute: number;
  /** Connections at a time, of all together; others are closed at once. Default 1024. */
  readonly connections: number;
  /** Seconds that a client may read nothing of an answer before its connection is closed. Default 30. */
  readonly stallSeconds: number;
}

export const DEFAULT_LIMITS: Limits = {
  pixels: 2048 * 2048,
  steps: 150,
  pictures: 10,
  bodyBytes: 50 << 20,
  jobSeconds: 600,
  concurrent: 16,
  perMinute: 0,
  connections: 1024,
  stallSeconds: 30,
};

/**
 * Checks a request's cost. Sizes of pictures are read off their headers, so that a small file cannot unpack to a large one.
 * @throws OptionError naming what is too much, TooLargeError and FileFormatError for pictures
 */
export function checkLimits(request: DrawRequest, limits: Limits): void {
  const { width, height, numInferenceSteps = 1, seeds, image, mask } = request;
  const { controls = [], imagePrompts = [], hires = {} } = request;
  const { scale = 1, width: largeWidth = 0, height: largeHeight = 0, numInferenceSteps: large = 1 } = hires;
  const pixels = (width ?? 0) * (height ?? 0);
  const atMost = (field: string, value: number, most: number): void => {
    if (value > most)
      throw new OptionError(`${value} is over this server's limit`, {
        field,
        remedy: `Ask for at most ${most}`,
      });
  };
  atMost('size', pixels * scale ** 2, limits.pixels);
  atMost('size', largeWidth * largeHeight, limits.pixels);
  // One side without the other is multiplied by the model's own, which is never larger than the limit's square.
  atMost('width', width ?? 0, limits.pixels);
  atMost('steps', numInferenceSteps, limits.steps);
  // Of a schedule that is longer only a part is run.
  atMost('steps', Math.floor(large * (hires.strength ?? 1)), limits.steps);
  atMost('n', seeds.length, limits.pictures);
  if (image) checkPng(image, 'image', limits);
  if (mask) checkPng(mask.png, 'mask', limits);
  for (const control of controls) checkPng(control.image, 'control_image', limits);
  for (const prompt of imagePrompts) checkPng(prompt.image, 'ip_adapter_image', limits);
}

/** The same for one picture; `name` is the field it came in. */
export function checkPng(png: Uint8Array, name: string, { pixels }: Limits): void {
  const { width, height } = pngSize(png, name);
  if (width * height > pixels)
    throw new TooLargeError(`it has ${width}x${height} pixels`, {
      field: name,
      remedy: `Send one of at most ${pixels} pixels`,
    });
}
