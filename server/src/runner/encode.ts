/** @file Pictures as files: PNG by the library, JPEG and WebP by their reference encoders in WebAssembly. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { constants, deflateSync } from 'node:zlib';
import { type CalotypeImage, encodePng } from 'calotype';
import type { OutputFile } from '../draw-request.ts';

const { resolve } = createRequire(import.meta.url);

/** An encoder whose module is loaded when it is first used. */
function lazy<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => (loaded ??= load());
}

/** The packages fetch their modules by URL, which Node does not do for files. */
const compile = async (path: string): Promise<WebAssembly.Module> =>
  WebAssembly.compile(await readFile(resolve(path)));

const jpeg = lazy(async () => {
  const { default: encode, init } = await import('@jsquash/jpeg/encode.js');
  await init(await compile('@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm'));
  return encode;
});
const webp = lazy(async () => {
  const { default: encode, init } = await import('@jsquash/webp/encode.js');
  await init(await compile('@jsquash/webp/codec/enc/webp_enc_simd.wasm'));
  return encode;
});

/**
 * Makes a file of a picture.
 * @param text what a PNG file says about itself; the others say nothing
 */
export type PictureEncoder = (
  image: CalotypeImage,
  output: OutputFile,
  text: Readonly<Record<string, string>>,
) => Promise<Uint8Array>;

/** Milliseconds for a picture of 512x512, where zlib's usual way takes 25 to 60, and files that are 5 % smaller to 40 % larger. */
const FAST = { level: 1, memLevel: 9, strategy: constants.Z_RLE } as const;

/** Makes it in this thread. */
export const encodePicture: PictureEncoder = async (image, { format, quality }, text) => {
  if (format === 'png') return encodePng(image, { text, deflate: (bytes) => deflateSync(bytes, FAST) });
  const encode = await (format === 'jpeg' ? jpeg() : webp());
  const { width, height, data } = image;
  const pixels = { width, height, data: Uint8ClampedArray.from(data), colorSpace: 'srgb' as const };
  return new Uint8Array(await encode(pixels, { quality }));
};
