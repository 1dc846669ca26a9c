/** @file Resizing is Pillow's, bit for bit. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { OptionError } from '../../src/errors.ts';
import { resizePixels } from '../../src/image/resize.ts';
import { readFixtureJson } from '../support/fixtures.ts';

const bytes = v.pipe(
  v.string(),
  v.transform((text) => Uint8Array.from(Buffer.from(text, 'base64'))),
);
const { pictures, cases } = readFixtureJson(
  'image/resize.json',
  v.strictObject({
    pictures: v.record(
      v.string(),
      v.strictObject({ width: v.number(), height: v.number(), channels: v.number(), samples: bytes }),
    ),
    cases: v.array(
      v.strictObject({
        picture: v.string(),
        filter: v.picklist(['lanczos', 'bicubic']),
        size: v.tuple([v.number(), v.number()]),
        sha256: v.string(),
        samples: v.optional(bytes),
        box: v.optional(v.tuple([v.number(), v.number(), v.number(), v.number()])),
      }),
    ),
  }),
);
const pictureOf = (name: string) => {
  const { samples, ...rest } = pictures[name];
  return { ...rest, data: samples };
};

describe('resizePixels', () => {
  it.each(cases.map((one) => [`${one.picture} to ${one.size.join('x')}, ${one.filter}`, one] as const))(
    '%s',
    (_name, { picture, filter, size: [width, height], sha256, samples, box: edges }) => {
      const box = edges && { left: edges[0], top: edges[1], right: edges[2], bottom: edges[3] };
      const { data, ...rest } = resizePixels(pictureOf(picture), { width, height }, filter, box);
      expect(rest).toEqual({ width, height, channels: pictures[picture].channels });
      if (samples) expect([...data]).toEqual([...samples]);
      expect(createHash('sha256').update(data).digest('hex')).toBe(sha256);
    },
  );

  it('refuses sizes and boxes that do not exist', () => {
    const picture = pictureOf('pixel');
    for (const size of [
      { width: 0, height: 8 },
      { width: 2.5, height: 8 },
    ])
      expect(() => resizePixels(picture, size, 'lanczos')).toThrow(OptionError);
    const box = { left: 0, top: 0, right: 2, bottom: 1 };
    expect(() => resizePixels(picture, { width: 4, height: 4 }, 'bicubic', box)).toThrow(OptionError);
  });
});
