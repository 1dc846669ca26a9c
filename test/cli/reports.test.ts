/** @file The reports of `inspect` and `bench`: that they hold what they promise, in tables that line up. */
import { blobModelSource, inspectModel, openBackend, reference } from 'calotype';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { formatBenchmark } from '../../cli/src/bench/unet.ts';
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

describe('bench', () => {
  const result = {
    dispatches: 3,
    flops: 3e9,
    latencyMs: 12,
    throughputMs: 10,
    hostMs: 0.006,
    allocatedBytes: 2048,
    compileSeconds: 1.5,
    profile: [
      { kernel: 'gemm', node: 'a', kind: 'linear', shape: [4], milliseconds: 4, flops: 2e9, bytes: 1e6 },
      { kernel: 'gemm', node: 'b', kind: 'linear', shape: [4], milliseconds: 2, flops: 1e9, bytes: 1e6 },
      { kernel: 'add', node: 'c', kind: 'add', shape: [4], milliseconds: 1, flops: 0, bytes: 1e8 },
    ],
  } as const;

  it('prints rates and medians by kernel against the best of the run', () => {
    const text = formatBenchmark(result, { flops: undefined, bytes: undefined });
    expect(text).toContain('3 dispatches, 3 GFLOP a step');
    expect(text).toContain('10.00 ms queued (300 GFLOP/s), 12.00 ms waited for');
    expect(text).toContain('2.0 us a dispatch');
    expect(text).toMatch(/^linear \(gemm\) +2 +6\.000 +3\.000 +85\.7 % +500\.0 +0\.3 +100 %$/m);
    expect(text).toMatch(/^add +1 +1\.000 +1\.000 +14\.3 % +0\.0 +100\.0 +100 %$/m);
    expect(text).toContain('(the best op of this run)');
  });

  it('measures against given limits, and says when dispatches cannot be timed', () => {
    const text = formatBenchmark(result, { flops: 1e12, bytes: 1e12 });
    expect(text).toMatch(/^linear \(gemm\).* 50 %$/m);
    expect(text).toMatch(/^add.* 10 %$/m);
    expect(formatBenchmark({ ...result, profile: [] }, { flops: 1, bytes: 1 })).toMatch(/cannot time single/);
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
