/** @file The part around a mask is cut out, fitted and put back as diffusers and Pillow do it, bit for bit. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { OptionError } from '../../src/errors.ts';
import type { CalotypeImage } from '../../src/image/image.ts';
import { cropPixels, cropRegion, overlay, resizeAndFill } from '../../src/image/padded-crop.ts';
import { decodePng } from '../../src/image/png.ts';
import { toRgbPixels } from '../../src/image/rgb-pixels.ts';
import { readFixtureJson } from '../support/fixtures.ts';

const { pictures, cases } = readFixtureJson(
  'image/padded_crop.json',
  v.strictObject({
    pictures: v.record(v.string(), v.string()),
    cases: v.array(
      v.strictObject({
        mask: v.string(),
        size: v.tuple([v.number(), v.number()]),
        padding: v.number(),
        region: v.tuple([v.number(), v.number(), v.number(), v.number()]),
        image: v.string(),
        cutMask: v.string(),
        result: v.string(),
      }),
    ),
  }),
);

function pictureOf(name: string): CalotypeImage {
  return decodePng(Buffer.from(pictures[name], 'base64'), name).image;
}

const sha = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const image = pictureOf('image');

describe('a padded crop', () => {
  it.each(
    cases.map((one) => [`${one.mask} mask at ${one.size.join('x')}, padding ${one.padding}`, one] as const),
  )('%s', (_name, { mask: maskName, size: [width, height], padding, region: edges, ...expected }) => {
    const mask = pictureOf(`mask.${maskName}`);
    const region = cropRegion(mask, { width, height }, padding);
    expect([region.left, region.top, region.right, region.bottom]).toEqual(edges);
    const cut = (picture: CalotypeImage): string =>
      sha(resizeAndFill(cropPixels(toRgbPixels(picture), region), { width, height }).data);
    expect(cut(image)).toBe(expected.image);
    expect(cut(mask)).toBe(expected.cutMask);
    const result = overlay(pictureOf(`painted.${width}x${height}`), image, mask, region);
    expect(sha(toRgbPixels(result).data)).toBe(expected.result);
    expect(result.data.every((value, i) => i % 4 !== 3 || value === 255)).toBe(true);
  });

  it('refuses a black mask', () => {
    const black = { ...image, data: image.data.map((_, i) => (i % 4 === 3 ? 255 : 0)) };
    expect(() => cropRegion(black, { width: 32, height: 32 }, 4)).toThrow(OptionError);
  });
});
