/** @file The report of `inspect`: that it holds what it promises, in tables that line up. */
import { blobModelSource, inspectModel, openBackend, reference } from 'calotype';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { formatModel } from '../../cli/src/commands/inspect.ts';
import { binaryBytes, decimal, table } from '../../cli/src/table.ts';

describe('inspect', () => {
  it('prints programs, passes, reasons and memory of an SDXL-shaped UNet', async () => {
    const path = 'unet/config.json';
    const config = await readFile(new URL(`../fixtures/configs/sdxl-base-1.0/${path}`, import.meta.url));
    const backend = await openBackend([reference()]);
    const source = blobModelSource('sdxl-base-1.0', new Map([[path, new Blob([config])]]));
    const report = await inspectModel(source, { target: backend.target('f32') });
    const text = formatModel(report, false);
    expect(text).toMatch(/^sdxl-base-1\.0: UNet2DConditionModel\n/);
    expect(text).toMatch(/\nunet: \d+ ops unfused, 9\.56 GiB of weights\n/);
    for (const program of ['prompt', 'step', 'latent'])
      expect(text).toMatch(new RegExp(`\n +${program} +\\d+ +\\d+ +`));
    expect(text).toMatch(/residual: \d+ times, \d+ -> \d+ ops/);
    expect(text).not.toMatch(/undefined|NaN|\[object/);
    const listed = formatModel(report, true);
    expect(listed).toMatch(/conv2d +\[2, 128, 128, 320\] +buffer \d+ at \d+/);
    expect(listed).not.toMatch(/undefined|NaN|\[object/);
  });
});

describe('numbers and tables', () => {
  it('keeps three digits', () => {
    expect([0, 12, 1536, 41_943_040, 1.5 * 2 ** 30].map(binaryBytes)).toEqual([
      '0 B',
      '12 B',
      '1.5 KiB',
      '40 MiB',
      '1.5 GiB',
    ]);
    expect([0, 331e9, 1.606e12, 24_600_000].map(decimal)).toEqual(['0', '331 G', '1.61 T', '24.6 M']);
  });

  it('aligns columns', () => {
    expect(
      table([
        ['a', '1'],
        ['bcd', '100'],
      ]),
    ).toBe('a      1\nbcd  100');
  });
});
