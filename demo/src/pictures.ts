/** @file Pictures between files, canvases and the worker. */
import type { CalotypeImage } from 'calotype/worker';

/** Pixels of any picture that the browser reads. Throws for files that are none. */
export async function readPicture(file: Blob): Promise<CalotypeImage> {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser gives no canvas');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { width, height, data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { width, height, data: new Uint8ClampedArray(data) };
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
