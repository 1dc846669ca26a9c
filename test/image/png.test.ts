/** @file PNG files against Pillow's reading of them, there and back, and damaged ones. */
import { readFileSync } from 'node:fs';
import { constants, deflateSync } from 'node:zlib';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError, FileFormatError, OptionError } from '../../src/errors.ts';
import type { CalotypeImage } from '../../src/image/image.ts';
import { decodePng, encodePng } from '../../src/image/png.ts';
import { readPng, textChunk, writePng } from '../../src/image/png-chunks.ts';
import { readRecipe, type Recipe, recipeTexts } from '../../src/image/recipe.ts';
import { fixturePath, readFixtureJson } from '../support/fixtures.ts';

const { pngs } = readFixtureJson(
  'image/images.json',
  v.object({ pngs: v.array(v.object({ name: v.string(), file: v.string(), rgba: v.string() })) }),
);

/** A picture with smooth and noisy parts; alpha 255 unless asked for. */
function picture(width: number, height: number, alpha = false): CalotypeImage {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < data.length; i++) data[i] = i % 4 === 3 && !alpha ? 255 : (i * 7 + (i * i) / 99) % 256;
  return { width, height, data };
}

describe('decodePng', () => {
  test.each(pngs)('reads $name as Pillow does', ({ file, rgba }) => {
    const { image } = decodePng(Buffer.from(file, 'base64'));
    expect([image.width, image.height]).toEqual([13, 7]);
    expect(Buffer.from(image.data).equals(Buffer.from(rgba, 'base64'))).toBe(true);
  });

  test('reads both kinds of text', () => {
    const file = Buffer.from(pngs.find(({ name }) => name === 'rgb with texts')!.file, 'base64');
    expect(Object.fromEntries(decodePng(file).text)).toEqual({
      parameters: 'a café\nSteps: 1',
      title: '日本 🍎',
    });
  });
});

describe('encodePng', () => {
  test('takes another compressor', async () => {
    const image = picture(9, 7);
    const file = await encodePng(image, {
      deflate: (bytes) => deflateSync(bytes, { level: 1, strategy: constants.Z_RLE }),
    });
    expect(file).not.toEqual(await encodePng(image));
    expect(decodePng(file).image).toEqual(image);
  });

  test.each([
    ['opaque', 33, 17, false],
    ['with alpha', 17, 33, true],
    ['of one pixel', 1, 1, false],
    ['of one column', 1, 9, true],
    ['of one row', 9, 1, false],
  ])('a picture %s comes back', async (_, width, height, alpha) => {
    const image = picture(width, height, alpha);
    const file = await encodePng(image);
    expect(decodePng(file).image).toEqual(image);
    // Colour type 2 is RGB, 6 is RGBA.
    expect(file[25]).toBe(alpha ? 6 : 2);
  });

  test('texts come back, in Latin-1 or not', async () => {
    const text = {
      parameters: 'a café\nSteps: 20',
      title: '日本の山 🍎',
      Empty: '',
      'two words': '\x01\x85ÿ',
    };
    const file = await encodePng(picture(3, 2), { text });
    expect(Object.fromEntries(decodePng(file, 'x').text)).toEqual(text);
    expect(readPng(file, 'x').map(({ type }) => type)).toEqual([
      'IHDR',
      'tEXt',
      'iTXt',
      'tEXt',
      'tEXt',
      'IDAT',
      'IEND',
    ]);
  });

  test('filters rows: smaller than what Pillow makes of the same picture', async () => {
    const original = readFileSync(fixturePath('pipelines/starter-apple.png'));
    const file = await encodePng(decodePng(original).image);
    expect(file.length).toBeLessThan(original.length * 1.1);
  });

  test.each([
    ['too little data', { width: 2, height: 2, data: new Uint8ClampedArray(15) }],
    ['a fractional width', { width: 1.5, height: 2, data: new Uint8ClampedArray(12) }],
    ['no pixels', { width: 0, height: 2, data: new Uint8ClampedArray(0) }],
  ])('refuses %s', async (_, image) => {
    await expect(encodePng(image)).rejects.toThrow(OptionError);
  });

  test.each(['', ' x', 'x ', 'x'.repeat(80), 'ключ'])('refuses the keyword %j', (keyword) => {
    expect(() => textChunk(keyword, 'text')).toThrow(OptionError);
  });
});

describe('damaged files', () => {
  const whole = Buffer.from(pngs[2].file, 'base64');
  const changed = (change: (copy: Buffer) => void) => {
    const copy = Buffer.from(whole);
    change(copy);
    return copy;
  };
  /** The same file with other chunks; checksums are right. */
  const rechunked = (change: (type: string, data: Buffer) => Uint8Array | undefined) =>
    writePng(
      readPng(whole, 'x').flatMap(({ type, data }) => {
        const other = change(type, Buffer.from(data));
        return other === undefined ? [] : [{ type, data: other }];
      }),
    );
  const header = (write: (data: Buffer) => void) =>
    rechunked((type, data) => {
      if (type === 'IHDR') write(data);
      return data;
    });

  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', Buffer.alloc(0), /is not a PNG/],
    ['a JPEG', Buffer.from('ffd8ffe000104a46494600', 'hex'), /is not a PNG/],
    ['a file cut short', whole.subarray(0, whole.length - 20), /ends inside a chunk/],
    ['a file without an end', whole.subarray(0, whole.length - 12), /ends inside a chunk/],
    ['a flipped bit', changed((copy) => (copy[50] ^= 1)), /checksum of chunk/],
    ['no header', rechunked((type, data) => (type === 'IHDR' ? undefined : data)), /IHDR/],
    [
      'no pixels',
      rechunked((type, data) => (type === 'IDAT' ? undefined : data)),
      /ends before its last pixel/,
    ],
    [
      'half of the pixels',
      rechunked((type, data) => (type === 'IDAT' ? data.subarray(0, 9) : data)),
      /pixels cannot be read/,
    ],
    ['a huge size', header((data) => data.writeUInt32BE(100_000)), /ends before its last pixel/],
    ['a width of 2^31', header((data) => data.writeUInt32BE(2 ** 31)), /too many/],
    ['a height of 0', header((data) => data.writeUInt32BE(0, 4)), /has no pixels/],
    ['a depth of 3', header((data) => data.writeUInt8(3, 8)), /pixels cannot be read/],
    ['packed and interlaced', header((data) => data.set([1, 0, 0, 0, 1], 8)), /interlaced/],
  ])('%s', (_, file, message) => {
    expect(() => decodePng(file, 'picture.png')).toThrow(FileFormatError);
    expect(() => decodePng(file, 'picture.png')).toThrow(message);
    expect(() => decodePng(file, 'picture.png')).toThrow(/^picture\.png: /);
  });
});

describe('recipes', () => {
  const recipe: Recipe = {
    calotype: '0.1.0',
    model: 'emoji-starter',
    prompt: 'a red apple,\n3D',
    negativePrompt: 'flat',
    numInferenceSteps: 20,
    guidanceScale: 4,
    guidanceRescale: 0.7,
    seed: 7,
    width: 256,
    height: 192,
    scheduler: 'DPMSolverMultistepScheduler',
    useKarrasSigmas: true,
    eta: 0.5,
  };

  test("parameters are in stable-diffusion-webui's form", () => {
    expect(recipeTexts(recipe)['parameters']).toBe(
      'a red apple,\n3D\nNegative prompt: flat\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, ' +
        'Seed: 7, Size: 256x192, Model: emoji-starter, Guidance rescale: 0.7, Version: calotype 0.1.0',
    );
    const { negativePrompt: _negative, useKarrasSigmas: _karras, ...rest } = recipe;
    expect(
      recipeTexts({
        ...rest,
        prompt: 'fox\0',
        guidanceRescale: 0,
        scheduler: 'NewScheduler',
        model: 'a: b, "c"',
      })['parameters'],
    ).toBe(
      'fox\ufffd\nSteps: 20, Sampler: NewScheduler, CFG scale: 4, Seed: 7, Size: 256x192, Model: "a: b, \\"c\\"", ' +
        'Version: calotype 0.1.0',
    );
  });

  test('come back from a PNG', async () => {
    const file = await encodePng(picture(4, 4), { text: recipeTexts({ ...recipe, prompt: '日本 \0 🍎' }) });
    expect(readRecipe(decodePng(file).text)).toEqual({ ...recipe, prompt: '日本 \0 🍎' });
    expect(readRecipe(decodePng(await encodePng(picture(4, 4))).text)).toBeUndefined();
  });

  test.each<[string, string, new (...args: never[]) => Error, RegExp]>([
    ['broken JSON', '{"prompt": ', FileFormatError, /apple\.png: broken JSON/],
    ['a seed that is text', JSON.stringify({ ...recipe, seed: '7' }), ConfigError, /apple\.png: seed/],
  ])('%s is refused', (_, text, type, message) => {
    expect(() => readRecipe(new Map([['calotype', text]]), 'apple.png')).toThrow(type);
    expect(() => readRecipe(new Map([['calotype', text]]), 'apple.png')).toThrow(message);
  });
});
