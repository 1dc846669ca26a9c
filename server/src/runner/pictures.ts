/** @file PNG files in and out of a pipeline. */
import { type CalotypeImage, decodePng, type HiresOptions, recipeTexts } from 'calotype';
import { type DrawRequest, type MaskFile, type Picture, PNG, type PngFile } from '../draw-request.ts';
import type { PictureEncoder } from './encode.ts';
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
  encode: PictureEncoder,
): Promise<Picture[]> {
  const { prompt, negativePrompt, scheduler, promptSyntax, seeds, output = PNG } = request;
  const { hires, webuiSettings } = request;
  const pictures = seeds.map(async (seed, i) => {
    const { width, height } = images[i];
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
      width: hires ? (request.width ?? width) : width,
      height: hires ? (request.height ?? height) : height,
      ...(hires && hiresEntries(hires)),
      ...(webuiSettings && { webuiSettings }),
    });
    return {
      file: await encode(images[i], output, text),
      format: output.format,
      width,
      height,
      seed: number,
      parameters: text['parameters'],
    };
  });
  return Promise.all(pictures);
}

/** The second pass, as arguments of the command. */
function hiresEntries({
  scale,
  width,
  height,
  upscaler,
  strength,
  numInferenceSteps,
}: HiresOptions): Record<string, string> {
  const size = width === undefined || height === undefined ? undefined : `${width}x${height}`;
  const entries = {
    hiresScale: scale,
    hiresSize: size,
    hiresUpscaler: upscaler,
    hiresStrength: strength,
    hiresSteps: numInferenceSteps,
  };
  return Object.fromEntries(
    Object.entries(entries).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}

/** Previews as files. */
export async function encodePreviews(
  previews: readonly CalotypeImage[],
  encode: PictureEncoder,
): Promise<PngFile[]> {
  return Promise.all(previews.map((preview) => encode(preview, PNG, {})));
}
