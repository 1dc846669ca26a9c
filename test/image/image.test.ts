/** @file Decoder output to pictures, against diffusers' VaeImageProcessor. */
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { toImages, toUnitRange } from '../../src/image/image.ts';
import { readFixtureJson } from '../support/fixtures.ts';

const { postprocess } = readFixtureJson(
  'image/images.json',
  v.object({ postprocess: v.object({ values: v.string(), bytes: v.string(), unit: v.string() }) }),
);

function floats(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
}

const values = floats(postprocess.values);
const pixels = values.length / 3;

describe('toImages', () => {
  test('gives the bytes that diffusers gives, halves to even', () => {
    const [image] = toImages({ shape: [1, 1, pixels, 3], data: values });
    expect([image.width, image.height]).toEqual([pixels, 1]);
    const expected = Buffer.from(postprocess.bytes, 'base64');
    const rgb = image.data.filter((_, i) => i % 4 !== 3);
    expect(Buffer.from(rgb).equals(expected)).toBe(true);
    expect(image.data.filter((_, i) => i % 4 === 3).every((alpha) => alpha === 255)).toBe(true);
  });

  test('takes a batch apart', () => {
    const data = Float32Array.from({ length: 2 * 2 * 1 * 3 }, (_, i) => i / 7 - 1);
    const images = toImages({ shape: [2, 2, 1, 3], data });
    expect(images.map(({ width, height }) => [width, height])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect([...images[1].data]).toEqual([109, 128, 146, 255, 164, 182, 200, 255]);
  });

  test('NaN becomes 0', () => {
    expect([...toImages({ shape: [1, 1, 1, 3], data: Float32Array.of(Number.NaN, 1, -1) })[0].data]).toEqual([
      0, 255, 0, 255,
    ]);
  });

  test('refuses other numbers of channels', () => {
    expect(() => toImages({ shape: [1, 1, 1, 4], data: new Float32Array(4) })).toThrow(ConfigError);
  });
});

test("toUnitRange gives the values of diffusers' output type np", () => {
  expect(values.map(toUnitRange)).toEqual(floats(postprocess.unit));
});
