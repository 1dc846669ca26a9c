/** @file PNG files in and out of a pipeline. */
import { type CalotypeImage, decodePng, encodePng, recipeTexts } from 'calotype';
import type { DrawRequest, MaskFile, Picture, PngFile } from '../draw-request.ts';
import { version } from '../version.ts';
import type { SharedSettings } from './batch-options.ts';
import type { RunnerJob } from './runner.ts';

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

/** Pictures of a call by job, each with its recipe in the file. */
export async function encodePictures(
  requests: readonly DrawRequest[],
  images: readonly CalotypeImage[],
  settings: SharedSettings,
): Promise<Picture[][]> {
  let next = 0;
  const encodeOne = async (request: DrawRequest, seed: DrawRequest['seeds'][number]): Promise<Picture> => {
    const image = images[next++];
    const { width, height } = image;
    const { prompt, negativePrompt } = request;
    const number = typeof seed === 'number' ? seed : seed.seed;
    const text = recipeTexts({
      ...settings,
      calotype: version,
      prompt,
      ...(negativePrompt !== undefined && { negativePrompt }),
      ...(request.scheduler !== undefined && { sampler: request.scheduler }),
      ...(request.promptSyntax === 'webui' && { promptSyntax: 'webui' }),
      seed: number,
      ...(typeof seed === 'object' && { seedDevice: seed.device }),
      width,
      height,
    });
    return {
      png: await encodePng(image, { text }),
      width,
      height,
      seed: number,
      parameters: text['parameters'],
    };
  };
  const byJob: Picture[][] = [];
  for (const request of requests) {
    const pictures: Picture[] = [];
    for (const seed of request.seeds) pictures.push(await encodeOne(request, seed));
    byJob.push(pictures);
  }
  return byJob;
}

/** Previews of a call by job. */
export async function encodePreviews(
  jobs: readonly RunnerJob[],
  previews: readonly CalotypeImage[],
): Promise<PngFile[][]> {
  const encoded: PngFile[] = [];
  for (const preview of previews) encoded.push(await encodePng(preview));
  let next = 0;
  return jobs.map(({ request }) => encoded.slice(next, (next += request.seeds.length)));
}
