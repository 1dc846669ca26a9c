/** @file The options `image` and `maskImage`: what they are, checked, and the task that they make of a call. */

import type { CalotypeImage } from '../../image/image.ts';
import type { ImageArray } from '../../image/preprocess.ts';
import type { Size } from '../../image/resize.ts';
import type { LatentModel } from '../denoise/denoiser-config.ts';
import type { CallOptions, Pictures, Tensor } from './call-options.ts';
import { checkTensor, refuse } from './checks.ts';

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
  /** Four times the size, from the picture at its own. */
  | { readonly kind: 'upscale'; readonly image: PixelSource }
  | { readonly kind: 'image'; readonly image: PixelSource | LatentImage }
  | {
      readonly kind: 'inpaint';
      readonly image: PixelSource | LatentImage;
      readonly mask: PixelSource;
      /** Paint only the part around the mask, and put it back. */
      readonly crop?: PaddedCrop;
    };

/** What `paddingMaskCrop` works on. */
export interface PaddedCrop {
  readonly image: CalotypeImage;
  readonly mask: CalotypeImage;
  /** Pixels around the mask. */
  readonly padding: number;
}

/** Whether a UNet is made for inpainting: beside the latents it reads a mask and the latents of the masked image. */
export function isInpaintingUNet({ inChannels, outChannels }: LatentModel): boolean {
  return inChannels === 2 * outChannels + 1;
}

/**
 * Whether a UNet is the x4 upscaler's: beside the latents, which are of the size of the picture to be upscaled, it reads
 * that picture.
 */
export function isUpscalingUNet({ inChannels, outChannels, numClassEmbeds }: LatentModel): boolean {
  return inChannels === outChannels + 3 && numClassEmbeds !== null;
}

/** What a model can do with images. */
export interface ImageModel {
  readonly latentChannels: number;
  /** `isInpaintingUNet` */
  readonly inpaints: boolean;
  /** `isUpscalingUNet` */
  readonly upscales: boolean;
  /** SDXL's refiner, which goes on from a picture or from another model's latents. */
  readonly refines: boolean;
}

/**
 * The task of a call, its image and mask checked.
 * @throws OptionError naming the option
 */
export function readTask(options: CallOptions, model: ImageModel): Task {
  const { image, maskImage, latents, paddingMaskCrop } = options;
  if (paddingMaskCrop !== undefined && maskImage === undefined)
    refuse('paddingMaskCrop', 'it was given without a mask', 'Give maskImage, or leave it out');
  if (maskImage !== undefined && image === undefined)
    refuse('maskImage', 'it was given without an image', 'Give the image to paint into');
  if (model.inpaints && maskImage === undefined)
    refuse(
      'maskImage',
      'this model is made for inpainting',
      'Give image and maskImage, or use another model',
    );
  if (model.refines && image === undefined)
    refuse(
      'image',
      'this model refines pictures',
      'Give the image: a picture, or latents that the base model made with outputType latent',
    );
  if (model.upscales) return readUpscale(image);
  if (image === undefined) return { kind: 'text' };
  const source = readImage(image, model.latentChannels);
  if (maskImage === undefined) {
    if (latents !== undefined)
      refuse(
        'latents',
        'they were given together with an image',
        'Give latents as the image, or leave one out',
      );
    return { kind: 'image', image: source };
  }
  if (source.kind === 'latents' && model.inpaints)
    refuse(
      'image',
      'latents cannot be masked',
      'Give a picture or an array, which this model encodes masked',
    );
  const mask = readMask(maskImage);
  if (paddingMaskCrop === undefined) return { kind: 'inpaint', image: source, mask };
  return { kind: 'inpaint', image: source, mask, crop: readCrop(source, mask, options) };
}

function readUpscale(image: CallOptions['image']): Task {
  if (image === undefined) refuse('image', 'this model upscales pictures', 'Give the picture to upscale');
  // No array of pixels has as many rows as this, so that none is taken for latents.
  const source = readImage(image, Number.NaN);
  if (source.kind === 'latents') refuse('image', 'latents cannot be upscaled', 'Give a picture');
  return { kind: 'upscale', image: source };
}

function readCrop(
  image: PixelSource | LatentImage,
  mask: PixelSource,
  { paddingMaskCrop: padding, outputType = 'image' }: CallOptions,
): PaddedCrop {
  const field = 'paddingMaskCrop';
  if (padding === undefined || !Number.isInteger(padding) || padding < 0)
    refuse(field, `${padding} is not a whole number of 0 or more`, 'Give a number of pixels, such as 32');
  if (outputType !== 'image')
    refuse(field, 'what it makes are pictures', "Use outputType: 'image', or leave paddingMaskCrop out");
  const [images, masks] = [image, mask].map((source) => (source.kind === 'pictures' ? source.pictures : []));
  if (images.length !== 1 || masks.length !== 1)
    refuse(field, 'it works on one picture and one mask', 'Give both as { width, height, data }');
  const [[picture], [maskPicture]] = [images, masks];
  if (picture.width !== maskPicture.width || picture.height !== maskPicture.height)
    refuse(
      'maskImage',
      `it has ${maskPicture.width}x${maskPicture.height} pixels, the image ${picture.width}x${picture.height}`,
      'For paddingMaskCrop give a mask of the size of the image',
    );
  return { image: picture, mask: maskPicture, padding };
}

/** Size in pixels of the first image. */
export function sizeOfImage(source: PixelSource | LatentImage, scaleFactor: number): Size {
  if (source.kind === 'latents')
    return { height: source.height * scaleFactor, width: source.width * scaleFactor };
  const { height, width } = source.kind === 'pictures' ? source.pictures[0] : source.array;
  return { height, width };
}

/** Whether something given is an array. */
export function isTensor(value: Pictures | Tensor): value is Tensor {
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
  if (first === latentChannels)
    return { kind: 'latents', count, height: second, width: last, data: value.data };
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

/** Whether it is an object, of which other checks read the fields. */
export function isGiven(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** The shape of an array whose data fits it. Throws OptionError. */
export function readShape(field: string, value: Tensor, forms: string): readonly number[] {
  const { shape } = value;
  const isList: boolean = Array.isArray(shape);
  if (!isList || !shape.every((size) => Number.isInteger(size) && size > 0))
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

/** Pictures, one or several. Throws OptionError. */
export function readPictures(field: string, value: Pictures, forms: string): readonly CalotypeImage[] {
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
