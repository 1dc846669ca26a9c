/** @file What `calotype bench` measures: work of each dispatch, and medians of their times. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Backend, DispatchTime } from '../../src/backends/backend.ts';
import { createReferenceBackend } from '../../src/backends/reference/reference.ts';
import { ConfigError, OptionError } from '../../src/errors.ts';
import { blobSource } from '../../src/loaders/byte-source.ts';
import { parseUNet2DConditionConfig } from '../../src/loaders/configs/unet.ts';
import { benchmarkModel } from '../../src/pipelines/inspect/benchmark-model.ts';
import { benchmarkUNet } from '../../src/pipelines/inspect/benchmark-unet.ts';
import { nodeFolderSource } from '../../src/platform/node-file-source.ts';
import { fixturePath } from '../support/fixtures.ts';

/** The reference, with clocks: run n of a dispatch takes runs[n] ms, in two launches. */
function clocked(runs: readonly number[]): Backend {
  const backend = createReferenceBackend();
  return {
    ...backend,
    async compile(plan, options) {
      const program = await backend.compile(plan, options);
      let run = 0;
      const profile = (): Promise<DispatchTime[]> => {
        const milliseconds = runs[run++] / 2;
        const launch = (dispatch: number): DispatchTime => ({ dispatch, kernel: 'clock', milliseconds });
        return Promise.resolve(plan.dispatches.flatMap((_, i) => [launch(i), launch(i)]));
      };
      // A run takes 6 ms, and 2 pass before the next.
      const timeRuns = (count: number) => () =>
        Promise.resolve(Array.from({ length: count }, (_, i) => ({ begin: 8 * i, end: 8 * i + 6 })));
      return Object.assign(program, { profile, timeRuns });
    },
  };
}

const file = 'pipelines/tiny-sd/unet/config.json';
const config = parseUNet2DConditionConfig(JSON.parse(readFileSync(fixturePath(file), 'utf8')), { file });
const options = {
  batch: 1,
  dtype: 'f32',
  height: 8,
  width: 8,
  microConditions: 0,
  tokens: 77,
  steps: 3,
} as const;

/** The configuration of a ControlNet for a UNet: the same fields, and a layer that halves pictures for each power of two. */
function controlNetOf(unet: string): object {
  const fields: unknown = JSON.parse(readFileSync(fixturePath(unet), 'utf8'));
  const own = { _class_name: 'ControlNetModel', conditioning_embedding_out_channels: [4, 4, 8, 8] };
  return Object.assign({}, fields, own);
}

describe('benchmarkUNet', () => {
  it('gives the median time and the work of every dispatch', async () => {
    let heap = 0;
    const result = await benchmarkUNet(clocked([1, 50, 4]), config, {
      ...options,
      heapUsed: () => (heap += 100),
    });
    const { profile, dispatches, flops, latencyMs, throughputMs, hostMs, allocatedBytes } = result;
    expect(profile).toHaveLength(dispatches);
    for (const op of profile) expect(op.milliseconds).toBe(4);
    expect(profile.reduce((sum, op) => sum + op.flops, 0)).toBe(flops);
    // Two pictures of 8x8 pixels, 4 channels in and `channels` out, the filter and the bias.
    const first = profile.find(({ node }) => node === 'conv_in');
    const channels = config.blockOutChannels[0];
    expect(first?.bytes).toBe(4 * (2 * 64 * (4 + channels) + 9 * 4 * channels + channels));
    expect(first?.flops).toBe(2 * 2 * 64 * 9 * 4 * channels);
    for (const time of [latencyMs, throughputMs, hostMs]) expect(time).toBeGreaterThan(0);
    expect(allocatedBytes).toBe(100);
    expect(result.device).toEqual({ runMs: 6, idleMs: 2 });
    expect(result.memoryBytes).toBeGreaterThan(1e5);
  });

  it('times several pictures at once', async () => {
    const result = await benchmarkUNet(clocked([1, 2, 3]), config, { ...options, batch: 2, steps: 1 });
    expect(result.profile.find(({ node }) => node === 'conv_in')?.shape[0]).toBe(4);
  });

  it('times ControlNets with the UNet, from their configurations', async () => {
    const source = await nodeFolderSource(fixturePath('pipelines/tiny-sd'));
    const settings = { dtype: 'f32', steps: 1, height: 16, width: 16 } as const;
    const net = new TextEncoder().encode(JSON.stringify(controlNetOf(file)));
    const folder = {
      name: 'net',
      open: () => Promise.resolve(blobSource('config.json', new Blob([net]))),
      exists: () => Promise.resolve(true),
      list: () => Promise.resolve(['config.json']),
    };
    const controlled = await benchmarkModel(source, clocked([1, 2, 3]), {
      ...settings,
      controlnets: [folder],
    });
    const nodes = controlled.profile.map(({ node }) => node);
    expect(nodes).toContain('controlnet.0.conv_in');
    const sdxl = await nodeFolderSource(fixturePath('pipelines/tiny-sdxl'));
    await expect(benchmarkModel(sdxl, clocked([]), { ...settings, controlnets: [folder] })).rejects.toThrow(
      ConfigError,
    );
    const pixart = await nodeFolderSource(fixturePath('pipelines/tiny-pixart'));
    await expect(benchmarkModel(pixart, clocked([]), { ...settings, controlnets: [folder] })).rejects.toThrow(
      OptionError,
    );
  });

  it("times PixArt's transformer from its configuration", async () => {
    const source = await nodeFolderSource(fixturePath('pipelines/tiny-pixart'));
    const settings = { dtype: 'f32', steps: 1, height: 32, width: 32 } as const;
    const { profile } = await benchmarkModel(source, clocked([1, 2, 3]), settings);
    expect(profile.filter(({ kind }) => kind === 'adaLayerNorm')).toHaveLength(3);
  });

  it('times a VAE as well, from the configurations of a folder', async () => {
    const source = await nodeFolderSource(fixturePath('pipelines/tiny-sd'));
    const size = { height: 16, width: 16 };
    const result = await benchmarkModel(source, clocked([1, 2, 3]), {
      network: 'vae',
      dtype: 'f32',
      steps: 1,
      ...size,
    });
    expect(result.profile.at(-1)?.shape).toEqual([1, 16, 16, 3]);
    expect(result.allocatedBytes).toBeUndefined();
  });
});
