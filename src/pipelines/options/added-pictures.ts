/** @file Pictures for ControlNets and IP-Adapters, checked; loaded with those. */

import type { CalotypeImage } from '../../image/image.ts';
import type { Pictures, Tensor } from './call-options.ts';
import { refuse } from './checks.ts';
import { isGiven, isTensor, readPictures, readShape, type PixelSource } from './image-options.ts';

/** A picture for a ControlNet that takes this many channels, as option `controlImage`. */
export function readControlImage(value: unknown, channels: number): PixelSource {
  const field = 'controlImage';
  const forms =
    `Give { width, height, data: RGBA bytes }, a list of those, or { shape, data } of ` +
    `[n, height, width, ${channels}]`;
  if (!isPixels(value)) refuse(field, 'it is no picture', forms);
  if (!isTensor(value)) {
    if (channels !== 3)
      refuse(field, `pictures have 3 channels, this net takes ${channels}`, `Give an array with ${channels}`);
    return { kind: 'pictures', pictures: readPictures(field, value, forms) };
  }
  const [count, height, width, last] = readShape(field, value, forms);
  if (value.shape.length !== 4 || last !== channels)
    refuse(field, `its shape is [${value.shape.join(', ')}]`, forms);
  return { kind: 'array', array: { count, height, width, channels, data: value.data } };
}

/** A picture or several for an IP-Adapter, of option `ipAdapterImage` or another. */
export function readPromptPictures(value: unknown, field = 'ipAdapterImage'): readonly CalotypeImage[] {
  const forms = 'Give { width, height, data: RGBA bytes }, or a list of those for each IP-Adapter';
  if (!isPixels(value) || isTensor(value)) refuse(field, 'it is no picture', forms);
  return readPictures(field, value, forms);
}

/** The fields of either form are checked by its reader. */
function isPixels(value: unknown): value is Pictures | Tensor {
  return isGiven(value);
}
