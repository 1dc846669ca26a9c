/** @file The options `image` and `maskImage`: what they are, checked, and the task that they make of a call. */

import type { CalotypeImage } from '../image/image.ts';
import type { ImageArray, Size } from '../image/preprocess.ts';
import { checkTensor, refuse, type CallOptions, type Pictures, type Tensor } from './options.ts';

/** Latents that were given as an image: [count, channels, height, width]. */
interface LatentImage extends Size {
  readonly kind: 'latents';
  readonly count: number;
  readonly data: Float32Array;
}

/** An image or mask as it was given. */
export type PixelSource =
  | { readonly kind: 'pictures'; readonly pictures: readonly CalotypeImage[] }
  | { readonly kind: 'array'; readonly array: ImageArray };

/** What a call is asked to do. */
export type Task =
  | { readonly kind: 'text' }
  | { readonly kind: 'image'; readonly image: PixelSource | LatentImage }
  | { readonly kind: 'inpaint'; readonly image: PixelSource | LatentImage; readonly mask: PixelSource };

/** What a model can do with images. */
export interface ImageModel {
  readonly latentChannels: number;
  /** Whether its UNet is made for inpainting: it reads a mask and a masked image beside the latents. */
  readonly inpaints: boolean;
}

/**
 * The task of a call, its image and mask checked.
 * @throws OptionError naming the option
 */
export function readTask({ image, maskImage, latents }: CallOptions, model: ImageModel): Task {
  if (maskImage !== undefined && image === undefined)
    refuse('maskImage', 'it was given without an image', 'Give the image to paint into');
  if (model.inpaints && maskImage === undefined)
    refuse('maskImage', 'this model is made for inpainting', 'Give image and maskImage, or use another model');
  if (image === undefined) return { kind: 'text' };
  const source = readImage(image, model.latentChannels);
  if (maskImage === undefined) {
    if (latents !== undefined)
      refuse('latents', 'they were given together with an image', 'Give latents as the image, or leave one out');
    return { kind: 'image', image: source };
  }
  if (source.kind === 'latents' && model.inpaints)
    refuse('image', 'latents cannot be masked', 'Give a picture or an array, which this model encodes masked');
  return { kind: 'inpaint', image: source, mask: readMask(maskImage) };
}

/** Size in pixels of the first image. */
export function sizeOfImage(source: PixelSource | LatentImage, scaleFactor: number): Size {
  if (source.kind === 'latents')
    return { height: source.height * scaleFactor, width: source.width * scaleFactor };
  const { height, width } = source.kind === 'pictures' ? source.pictures[0] : source.array;
  return { height, width };
}

function isTensor(value: Pictures | Tensor): value is Tensor {
  return 'shape' in value;
}

function readImage(value: Pictures | Tensor, latentChannels: number): PixelSource | LatentImage {
  const forms =
    `Give { width, height, data: RGBA bytes }, a list of those, or { shape, data } of [n, height, width, 3] in ` +
    `0..1 or of latents [n, ${latentChannels}, height, width]`;
  if (!isGiven(value)) refuse('image', 'it is no picture', forms);
  if (!isTensor(value)) return { kind: 'pictures', pictures: readPictures('image', value, forms) };
  const [count, first, second, last] = readShape('image', value, forms);
  if (value.shape.length !== 4) refuse('image', `its shape is [${value.shape.join(', ')}]`, forms);
  // As diffusers does, by their place alone.
  if (first === latentChannels) {
    if (!value.data.every(Number.isFinite))
      refuse('image', 'its latents are not all finite', 'Check where they come from');
    return { kind: 'latents', count, height: second, width: last, data: value.data };
  }
  if (last !== 3) refuse('image', `its shape is [${value.shape.join(', ')}]`, forms);
  return { kind: 'array', array: toArray('image', value, [count, first, second, 3]) };
}

function readMask(value: Pictures | Tensor): PixelSource {
  const forms =
    'Give { width, height, data: RGBA bytes }, a list of those, or { shape, data } of [n, height, width] in 0..1';
  if (!isGiven(value)) refuse('maskImage', 'it is no picture', forms);
  if (!isTensor(value)) return { kind: 'pictures', pictures: readPictures('maskImage', value, forms) };
  const [count, height, width, channels = 1] = readShape('maskImage', value, forms);
  if (![3, 4].includes(value.shape.length) || channels !== 1)
    refuse('maskImage', `its shape is [${value.shape.join(', ')}]`, forms);
  return { kind: 'array', array: toArray('maskImage', value, [count, height, width, 1]) };
}

function isGiven(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function readShape(field: string, value: Tensor, forms: string): readonly number[] {
  const { shape } = value;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isInteger(size) && size > 0))
    refuse(field, 'its shape is not a list of positive whole numbers', forms);
  checkTensor(field, value);
  return shape;
}

function toArray(
  field: string,
  { data }: Tensor,
  [count, height, width, channels]: readonly [number, number, number, number],
): ImageArray {
  const outside = data.find((value) => !(value >= 0 && value <= 1));
  if (outside !== undefined)
    refuse(field, `it holds ${outside}`, 'Arrays hold values from 0 to 1; divide bytes by 255');
  return { count, height, width, channels, data };
}

function readPictures(field: string, value: Pictures, forms: string): readonly CalotypeImage[] {
  const pictures: readonly CalotypeImage[] = isList(value) ? value : [value];
  if (pictures.length === 0) refuse(field, 'it is an empty list', forms);
  for (const picture of pictures) {
    if (!isGiven(picture)) refuse(field, 'it is no picture', forms);
    const { width, height, data } = picture;
    if (![width, height].every((side) => Number.isInteger(side) && side > 0))
      refuse(field, `${width}x${height} is not a size`, forms);
    const isBytes = [Uint8ClampedArray, Uint8Array].some((type) => data instanceof type);
    if (!isBytes || data.length !== width * height * 4)
      refuse(
        field,
        `its data does not hold the ${width * height * 4} bytes of ${width}x${height} RGBA pixels`,
        forms,
      );
  }
  return pictures;
}

function isList(value: Pictures): value is readonly CalotypeImage[] {
  return Array.isArray(value);
}
