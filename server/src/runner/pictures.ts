/** @file PNG files in and out of a pipeline. */
import { type CalotypeImage, decodePng, encodePng, recipeTexts } from 'calotype';
import { type DrawRequest, type MaskFile, type Picture, PNG, type PngFile } from '../draw-request.ts';
import { encodePicture } from './encode.ts';
import { version } from '../version.ts';
import type { SharedSettings } from './call-options.ts';

/** A mask as pipelines take it: white where to paint. */
export function readMask({ png, paint }: MaskFile): CalotypeImage {
  const { image } = decodePng(png, 'mask');
  if (paint === 'white') return image;
  const data = new Uint8ClampedArray(image.data.length);
  for (let p = 0; p < data.length; p += 4) {
    const painted = paint === 'black' ? 255 - image.data[p] : 255 - image.data[p + 3];
    const white = painted < 128 ? 0 : 255;
    data.set([white, white, white, 255], p);
  }
  return { ...image, data };
}

/** Pictures of a call, each with its recipe in the file. */
export async function encodePictures(
  request: DrawRequest,
  images: readonly CalotypeImage[],
  settings: SharedSettings,
): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for (const [i, seed] of request.seeds.entries())
    pictures.push(await encodeOne(request, seed, images[i], settings));
  return pictures;
}

async function encodeOne(
  { prompt, negativePrompt, scheduler, promptSyntax, output = PNG }: DrawRequest,
  seed: DrawRequest['seeds'][number],
  image: CalotypeImage,
  settings: SharedSettings,
): Promise<Picture> {
  const { width, height } = image;
  const number = typeof seed === 'number' ? seed : seed.seed;
  const text = recipeTexts({
    ...settings,
    calotype: version,
    prompt,
    ...(negativePrompt !== undefined && { negativePrompt }),
    ...(scheduler !== undefined && { sampler: scheduler }),
    ...(promptSyntax === 'webui' && { promptSyntax: 'webui' }),
    seed: number,
    ...(typeof seed === 'object' && { seedDevice: seed.device }),
    width,
    height,
  });
  return {
    file: await encodePicture(image, output, text),
    format: output.format,
    width,
    height,
    seed: number,
    parameters: text['parameters'],
  };
}

/** Previews as files. */
export async function encodePreviews(previews: readonly CalotypeImage[]): Promise<PngFile[]> {
  const encoded: PngFile[] = [];
  for (const preview of previews) encoded.push(await encodePng(preview));
  return encoded;
}
