/** @file Previews: colours of known latents, and a preview of the starter's apple against the real picture. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodePng } from '../../src/image/png.ts';
import { previewLatents } from '../../src/image/preview.ts';
import { fixturePath, openTensorFixture } from '../support/fixtures.ts';

/** One pixel whose channel `c` is 1. */
const unit = (channels: number, c: number) => ({
  shape: [1, channels, 1, 1],
  data: Float32Array.from({ length: channels }, (_, i) => (i === c ? 1 : 0)),
});

describe('previewLatents', () => {
  test('zero is mid grey, or what the bias says', () => {
    expect([...previewLatents(unit(4, -1), 'sd')[0].data]).toEqual([128, 128, 128, 255]);
    expect([...previewLatents(unit(4, -1), 'sdxl')[0].data]).toEqual([141, 125, 127, 255]);
  });

  test.each([
    [0, [172, 157, 169, 255]],
    [3, [100, 94, 36, 255]],
  ])('channel %i has its colour', (channel, expected) => {
    expect([...previewLatents(unit(4, channel), 'sd')[0].data]).toEqual(expected);
  });

  test.each([
    ['unknown latents', 4, 'unknown'],
    ['latents of other channels', 16, 'sdxl'],
  ] as const)('%s are false colours of the first three channels', (_, channels, format) => {
    expect([...previewLatents(unit(channels, 0), format)[0].data]).toEqual([191, 128, 128, 255]);
    expect([...previewLatents(unit(channels, 2), format)[0].data]).toEqual([128, 128, 191, 255]);
    expect([...previewLatents(unit(channels, 3), format)[0].data]).toEqual([128, 128, 128, 255]);
  });

  test('reads batches and rows in NCHW order', () => {
    const data = new Float32Array(2 * 4 * 2 * 3);
    // Image 1, channel 3, row 1, column 2.
    data[((1 * 4 + 3) * 2 + 1) * 3 + 2] = 1;
    const previews = previewLatents({ shape: [2, 4, 2, 3], data }, 'sd');
    expect(previews.map(({ width, height }) => [width, height])).toEqual([
      [3, 2],
      [3, 2],
    ]);
    expect([...previews[1].data.subarray(20)]).toEqual([100, 94, 36, 255]);
    expect(previews[0].data.every((value, i) => value === (i % 4 === 3 ? 255 : 128))).toBe(true);
  });

  test("the starter's apple looks like itself", async () => {
    const fixture = await openTensorFixture('pipelines/starter.safetensors');
    const steps = fixture.f32('apple.steps');
    const [preview] = previewLatents({ shape: [1, 4, 16, 16], data: steps.subarray(-4 * 16 * 16) }, 'sd');
    const { image } = decodePng(readFileSync(fixturePath('pipelines/starter-apple.png')));
    let error = 0;
    for (let y = 0; y < 16; y++)
      for (let x = 0; x < 16; x++)
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let dy = 0; dy < 8; dy++)
            for (let dx = 0; dx < 8; dx++) sum += image.data[((y * 8 + dy) * 128 + x * 8 + dx) * 4 + c];
          error += Math.abs(sum / 64 - preview.data[(y * 16 + x) * 4 + c]);
        }
    // Mean difference from the picture scaled down, of 255.
    expect(error / (16 * 16 * 3)).toBeLessThan(40);
  });
});
