/**
 * @file Runs that start from a picture: an image with noise, or an image to be painted into, as diffusers' image-to-image and
 * inpainting pipelines prepare them; start.ts loads it with the first. Draws come in their order: the image's
 * posterior, the noise, the masked image's posterior.
 */

import { OptionError } from '../../errors.ts';
import {
  binarize,
  masksToArray,
  picturesToArray,
  resizeNearest,
  toFullRange,
  type ImageArray,
} from '../../image/preprocess.ts';
import type { NoiseCoefficients } from '../../schedulers/scheduler.ts';
import { toNchw, toNhwc, type ImageShape } from '../../tensor/layout.ts';
import { stack } from '../prompt/conditioning.ts';
import type { PixelSource, Task } from '../options/image-options.ts';
import { asStrongAs, givenLatents, type Start, type StartOptions } from '../start.ts';

/** @throws OptionError for images, masks and latents that do not fit the call. */
export async function startFromImage(
  task: Exclude<Task, { kind: 'text' }>,
  context: StartOptions,
): Promise<Start> {
  const { options, scheduler, shape, noise } = context;
  if (task.kind === 'upscale') return startUpscale(task, context);
  if (task.kind === 'inpaint') return startInpaint(task, context);
  const images = shape[0];
  const source = toLatentSource('image', task.image, context);
  const encoded =
    'pixels' in source
      ? // Generators for each image draw a posterior each, of the same image or not.
        await encode(source.pixels, noise.perImage ? images : source.pixels.count, context)
      : source.latents;
  if (options.denoisingStart !== undefined) return { latents: deal(encoded, shape) };
  const drawn = noise.draw(shape);
  return { latents: mix(scheduler.noiseCoefficients(context.begin), deal(encoded, shape), drawn) };
}

/** The picture with noise on it is a condition; the latents, one for each of its pixels, are noise. */
function startUpscale({ image }: Task & { kind: 'upscale' }, context: StartOptions): Start {
  const { options, scheduler, lowResScheduler, shape, noise } = context;
  const { noiseLevel } = options;
  if (lowResScheduler === undefined || noiseLevel === undefined)
    throw new OptionError('the model has no low_res_scheduler', {
      field: 'image',
      remedy: 'Use the complete folder of the x4 upscaler',
    });
  const [images, , height, width] = shape;
  const size = { height, width };
  const pixels = toFullRange(
    image.kind === 'pictures'
      ? picturesToArray(image.pictures, size, { filter: 'bicubic' })
      : resizeNearest(image.array, size),
  );
  const prompts = images / options.numImagesPerPrompt;
  if (pixels.count !== prompts)
    throw new OptionError(`there are ${pixels.count} of them for ${prompts} prompts`, {
      field: 'image',
      remedy: 'Give one picture for each prompt',
    });
  const pixelShape = [pixels.count, pixels.channels, height, width] as const;
  lowResScheduler.setTimesteps(undefined, { timesteps: [noiseLevel] });
  const noisy = mix(
    lowResScheduler.noiseCoefficients(0),
    toNchw(pixels.data, pixelShape),
    noise.draw(pixelShape),
  );
  const conditionShape = [images, pixels.channels, height, width] as const;
  const initial = givenLatents(options.latents, shape) ?? noise.draw(shape);
  return {
    latents: asStrongAs(scheduler, initial),
    condition: toNhwc(deal(noisy, conditionShape), conditionShape),
    noiseLevel,
  };
}

async function startInpaint(task: Task & { kind: 'inpaint' }, context: StartOptions): Promise<Start> {
  const { options, scheduler, begin, vae, inpaints, shape, noise } = context;
  const [images, channels, height, width] = shape;
  const source = toLatentSource('image', task.image, context);
  const mask = maskArray(task.mask, context);
  checkCount('maskImage', mask.count, images);
  const takesOver = options.denoisingStart !== undefined;
  const whole = options.strength === 1 && !takesOver;
  const given = givenLatents(options.latents, shape);

  const encodesImage = !inpaints || (given === undefined && !whole);
  const image = !encodesImage
    ? undefined
    : 'pixels' in source
      ? await encode(source.pixels, source.pixels.count, context)
      : source.latents;
  const imageLatents = image && deal(image, shape);
  const drawn = given ?? noise.draw(shape);
  const latents =
    imageLatents && takesOver
      ? imageLatents
      : imageLatents && given === undefined && !whole
        ? mix(scheduler.noiseCoefficients(begin), imageLatents, drawn)
        : asStrongAs(scheduler, drawn);

  const small = deal(resizeNearest(mask, { height, width }).data, [images, 1, height, width]);
  if (inpaints && 'pixels' in source) {
    const masked = maskedImage(source.pixels, mask);
    const maskedLatents = deal(await encode(masked, masked.count, context), shape);
    const pixels = height * width;
    const planes = Array.from({ length: images }, (_, i) => [
      small.subarray(i * pixels, (i + 1) * pixels),
      maskedLatents.subarray(i * channels * pixels, (i + 1) * channels * pixels),
    ]);
    return { latents, condition: toNhwc(stack(planes.flat()), [images, 1 + channels, height, width]) };
  }
  // diffusers encodes the masked image here too, for nothing but the numbers that it draws.
  if ('pixels' in source && vae.kind.className === 'AutoencoderKL')
    noise.draw([Math.max(source.pixels.count, mask.count), channels, height, width]);
  return { latents, repaint: { mask: small, image: imageLatents ?? latents, noise: drawn } };
}

/** noisy = sample * latents + noise * drawn */
function mix({ sample, noise }: NoiseCoefficients, latents: Float32Array, drawn: Float32Array): Float32Array {
  return latents.map((value, i) => sample * value + noise * drawn[i]);
}

/** Latents of a few images [count, ...] dealt out to all images of a run in turn: [images, ...]. */
function deal(latents: Float32Array, [images, ...rest]: ImageShape): Float32Array {
  const length = rest.reduce((a, b) => a * b, 1);
  const count = latents.length / length;
  return stack(
    Array.from({ length: images }, (_, i) =>
      latents.subarray((i % count) * length, ((i % count) + 1) * length),
    ),
  );
}

/** Encodes pixels and draws from the posterior: [count, channels, height, width], images dealt out in turn. */
async function encode(
  pixels: ImageArray,
  count: number,
  { vae, shape: [, channels, height, width], noise, normalized, programs }: StartOptions,
): Promise<Float32Array> {
  const shape = [count, channels, height, width] as const;
  const { mean, std } = await vae.encode(pixels, programs);
  const means = deal(mean, shape);
  if (!std) return vae.scale(means, shape, normalized);
  const [deviations, drawn] = [deal(std, shape), noise.draw(shape)];
  return vae.scale(
    means.map((value, i) => value + deviations[i] * drawn[i]),
    shape,
    normalized,
  );
}

/** Images of the run's size, or latents. */
function toLatentSource(
  field: string,
  source: (Task & { kind: 'image' })['image'],
  context: StartOptions,
): { readonly pixels: ImageArray } | { readonly latents: Float32Array } {
  const { options, shape, vae } = context;
  const [images, , height, width] = shape;
  if (source.kind !== 'latents') {
    const pixels = pixelArray(source, context);
    checkCount(field, pixels.count, images);
    return { pixels };
  }
  if (source.height !== height || source.width !== width)
    throw new OptionError(
      `latents of ${source.height} x ${source.width} are not those of ${options.height} x ${options.width} pixels`,
      {
        field,
        remedy: `Leave height and width out, or use ${source.height * vae.scaleFactor} and ${source.width * vae.scaleFactor}`,
      },
    );
  checkCount(field, source.count, images);
  return { latents: source.data };
}

function pixelArray(source: PixelSource, { options: { height, width }, region }: StartOptions): ImageArray {
  const size = { height, width };
  return toFullRange(
    source.kind === 'pictures'
      ? picturesToArray(source.pictures, size, { region })
      : resizeNearest(source.array, size),
  );
}

function maskArray(source: PixelSource, { options: { height, width }, region }: StartOptions): ImageArray {
  const size = { height, width };
  return source.kind === 'pictures'
    ? masksToArray(source.pictures, size, { region })
    : binarize(resizeNearest(source.array, size));
}

/** Pixels made 0 (grey) where they are to be painted; one image or one mask goes with all of the other. */
function maskedImage(pixels: ImageArray, mask: ImageArray): ImageArray {
  const count = Math.max(pixels.count, mask.count);
  if (count % pixels.count !== 0 || count % mask.count !== 0)
    throw new OptionError(`${mask.count} masks do not fit ${pixels.count} images`, {
      field: 'maskImage',
      remedy: 'Give one mask, or one for each image',
    });
  const { height, width, channels } = pixels;
  const shape = [count, channels, height, width] as const;
  const all = deal(pixels.data, shape);
  const masks = deal(mask.data, [count, 1, height, width]);
  return { ...pixels, count, data: all.map((value, i) => value * (1 - masks[Math.floor(i / channels)])) };
}

function checkCount(field: string, count: number, images: number): void {
  if (images % count !== 0)
    throw new OptionError(`${count} of them cannot be dealt out evenly to ${images} images`, {
      field,
      remedy: 'Give one, or one for each prompt or image',
    });
}
