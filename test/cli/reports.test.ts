/** @file The report of `inspect`: that it holds what it promises, in tables that line up. */
import { blobModelSource, ConfigError, inspectModel, openBackend, reference } from 'calotype';
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

it('inspect counts ControlNets with the UNet that they run with', async () => {
  const backend = await openBackend([reference()]);
  const target = backend.target('f32');
  const json = (value: unknown) => new Map([['config.json', new Blob([JSON.stringify(value)])]]);
  const shape = {
    block_out_channels: [8, 8],
    attention_head_dim: 1,
    cross_attention_dim: 24,
    norm_num_groups: 4,
  };
  const blocks = { down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'] };
  const unet = { ...shape, ...blocks, up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'], sample_size: 8 };
  const model = blobModelSource('m', new Map([['unet/config.json', json(unet).get('config.json')!]]));
  const net = blobModelSource('net', json({ ...shape, ...blocks }));
  const [alone, both] = await Promise.all(
    [[], [net, net]].map(async (controlnets) => inspectModel(model, { target, controlnets })),
  );
  expect([both.width, both.height]).toEqual([64, 64]);
  const [one, three] = [alone.networks[0], both.networks[0]];
  expect(three.name).toMatch(/^unet \+ .+ \+ /);
  expect(three.weightBytes).toBeGreaterThan(one.weightBytes * 1.5);
  expect(three.programs.at(-1)!.flops).toBeGreaterThan(one.programs.at(-1)!.flops * 1.2);
  const wrong = blobModelSource('net', json({ ...shape, ...blocks, cross_attention_dim: 32 }));
  await expect(inspectModel(model, { target, controlnets: [wrong] })).rejects.toThrow(ConfigError);
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
