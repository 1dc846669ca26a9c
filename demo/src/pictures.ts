/** @file Pictures between files, canvases and the worker. */
import type { CalotypeImage } from 'calotype/worker';

/** No picture is drawn larger; photographs are, and reading all of their pixels would hold the page up. */
const LONGEST_SIDE = 2048;

/** Pixels of any picture that the browser reads, made smaller where it is large. Throws for files that are none. */
export async function readPicture(file: Blob): Promise<CalotypeImage> {
  const bitmap = await makeSmaller(await createImageBitmap(file));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser gives no canvas');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { width, height, data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { width, height, data: new Uint8ClampedArray(data) };
}

async function makeSmaller(bitmap: ImageBitmap): Promise<ImageBitmap> {
  const scale = LONGEST_SIDE / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return bitmap;
  const smaller = await createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width * scale)),
    resizeHeight: Math.max(1, Math.round(bitmap.height * scale)),
    resizeQuality: 'high',
  });
  bitmap.close();
  return smaller;
}

/** Puts a picture on a canvas, which takes its size. */
export function show(canvas: HTMLCanvasElement, { width, height, data }: CalotypeImage): void {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d')?.putImageData(new ImageData(data, width, height), 0, 0);
}

/** Hands a file to the user. */
export function download(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
