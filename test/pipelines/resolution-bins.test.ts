/** @file Sizes that PixArt draws at, and pictures cut to the size asked for, against diffusers. */

import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { OptionError } from '../../src/index.ts';
import { binnedSize, resizeAndCrop } from '../../src/pipelines/families/resolution-bins.ts';
import { openTensorFixture, readFixtureJson } from '../support/fixtures.ts';
import '../support/nmse.ts';

const size = v.tuple([v.number(), v.number()]);
const { bins } = readFixtureJson(
  'image/binning.json',
  v.object({ bins: v.array(v.object({ sample_size: v.number(), asked: size, drawn: size })) }),
);
const tensors = await openTensorFixture('image/binning.safetensors');

describe('binnedSize', () => {
  it('is that of diffusers', () => {
    for (const { sample_size: sampleSize, asked, drawn } of bins) {
      const [height, width] = asked;
      expect(binnedSize({ height, width }, sampleSize)).toEqual({ height: drawn[0], width: drawn[1] });
    }
    expect(bins.length).toBeGreaterThan(50);
  });

  it('refuses models of other sizes', () => {
    expect(() => binnedSize({ height: 512, width: 512 }, 48)).toThrow(OptionError);
  });
});

describe('resizeAndCrop', () => {
  const [images, height, width] = tensors.shape('picture');
  const decoded = { shape: [images, height, width, 3], data: tensors.f32('picture') };
  it.each(tensors.names.filter((name) => name.startsWith('cut.')))('%s', (name) => {
    const shape = tensors.shape(name);
    const cut = resizeAndCrop(decoded, { height: shape[1], width: shape[2] });
    expect(cut.shape).toEqual(shape);
    expect(cut.data).toMatchNmse(tensors.f32(name), 1e-12);
  });

  it('leaves pictures of the right size alone, and never gives less than was asked for', () => {
    expect(resizeAndCrop(decoded, { height, width }).data).toBe(decoded.data);
    const large = { shape: [1, 208, 304, 3], data: new Float32Array(208 * 304 * 3) };
    expect(resizeAndCrop(large, { height: 100, width: 155 }).shape).toEqual([1, 100, 155, 3]);
  });
});
