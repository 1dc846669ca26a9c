/** @file Pictures and arrays of fixtures as the options that they are. */

import type { CalotypeImage, Tensor } from '../../src/index.ts';
import type { TensorFixture } from './fixtures.ts';

/** Samples [height, width, 3 or none] as an opaque picture. */
export function pictureOf(tensors: TensorFixture, name: string): CalotypeImage {
  const [height, width, channels = 1] = tensors.shape(name);
  const samples = tensors.f32(name);
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) data[p * 4 + c] = samples[p * channels + (channels === 1 ? 0 : c)];
  return { width, height, data };
}

/** Bytes as an array of 0..1; other numbers as they are. */
export function arrayOf(tensors: TensorFixture, name: string, bytes: boolean): Tensor {
  const data = tensors.f32(name);
  return { shape: tensors.shape(name), data: bytes ? data.map((value) => value / 255) : data };
}

/** A name of Python's in camelCase. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
