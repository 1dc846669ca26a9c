/** @file The reports and pictures of `calotype bench`, and how it reads its switches. */
import type { TimedOp } from 'calotype';
import { describe, expect, it } from 'vitest';
import { formatLadder } from '../../cli/src/bench/ladder.ts';
import { formatFigures } from '../../cli/src/bench/network.ts';
import { formatPicture } from '../../cli/src/bench/picture.ts';
import { pictureOfTime } from '../../cli/src/bench/picture-of-time.ts';
import { opGroups, roofOf, type PartialPeak } from '../../cli/src/bench/roofline.ts';
import { describeSwitches, readSwitches, webGpuOptions } from '../../cli/src/bench/switches.ts';
import { treemap } from '../../cli/src/bench/treemap.ts';
import { readRequest } from '../../cli/src/commands/bench.ts';

const profile: TimedOp[] = [
  { kernel: 'gemm', node: 'a', kind: 'linear', shape: [4], milliseconds: 4, flops: 2e9, bytes: 1e6 },
  { kernel: 'gemm', node: 'b', kind: 'linear', shape: [4], milliseconds: 2, flops: 1e9, bytes: 1e6 },
  { kernel: 'concat', node: 'c', kind: 'concat', shape: [8], milliseconds: 1, flops: 0, bytes: 1e8 },
];

/** Figures of a run against given or measured limits. */
function figures(given: PartialPeak, measured: PartialPeak = {}, ops: readonly TimedOp[] = profile) {
  const roof = roofOf(ops, given, measured);
  return {
    dispatches: 3,
    flops: 3e9,
    latencyMs: 12,
    throughputMs: 10,
    hostMs: 0.006,
    device: { runMs: 7.5, idleMs: 0.25 },
    allocatedBytes: 2048,
    compileSeconds: 1.5,
    memoryBytes: 3 * 2 ** 20,
    profile: ops,
    roof,
    groups: opGroups(ops, roof),
  };
}

describe('the report', () => {
  it('prints rates and medians by kernel against the best of the run', () => {
    const text = formatFigures(figures({}));
    expect(text).toContain('3 MiB on the device; 3 dispatches, 3 GFLOP');
    expect(text).toContain('10.00 ms queued (300 GFLOP/s), 12.00 ms waited for');
    expect(text).toContain('timestamps: 7.50 ms (400 GFLOP/s), then 0.25 ms idle');
    expect(text).toContain('2.0 us a dispatch');
    expect(text).toMatch(/^linear \(gemm\) +2 +6\.000 +3\.000 +85\.7 % +0\.5 +0\.333 +100 %$/m);
    expect(text).toMatch(/^concat +1 +1\.000 +1\.000 +14\.3 % +0 +100 +100 %$/m);
    expect(text).toContain('(the best op of this run)');
  });

  it('measures against given limits, then measured ones, and names the bottleneck', () => {
    const text = formatFigures(figures({ flops: 1e12 }, { flops: 2e12, bytes: 1e12 }));
    expect(text).toMatch(/^linear \(gemm\).* 50 %$/m);
    expect(text).toMatch(/^concat.* 10 %$/m);
    expect(text).toContain('roof: 1 TFLOP/s (as given) and 1 TB/s (measured by itself, just now)');
    expect(text).toContain('bottleneck: linear (gemm), 3.00 ms over its roof');
  });

  it('says when dispatches cannot be timed', () => {
    expect(formatFigures(figures({}, {}, []))).toMatch(/cannot time single dispatches/);
  });
});

describe('the ladder', () => {
  it('prints what each rung gains, and the options that do the same', () => {
    const slow = { ...figures({}), throughputMs: 25 };
    const text = formatLadder([
      { name: 'f32 naive', options: '--dtype f32 --unrecorded', figures: slow },
      { name: 'f16', options: '--dtype f16', figures: figures({}) },
    ]);
    expect(text).toMatch(/^f16 +10\.00 +7\.50 +0\.01 +3 +2\.5x$/m);
    expect(text).toMatch(/^f32 naive +--dtype f32 --unrecorded$/m);
  });
});

describe('switches', () => {
  it('are what the library takes, and can be written back', () => {
    const args = { setting: 'flags', 'without-kernels': 'gemm-matrix,attention-matrix', unrecorded: true };
    const switches = readSwitches(args);
    expect(webGpuOptions(switches)).toMatchObject({
      without: { fusions: [], kernels: ['gemm-matrix', 'attention-matrix'] },
      recorded: false,
    });
    expect(describeSwitches(switches)).toBe(
      '--setting flags --without-kernels gemm-matrix,attention-matrix --unrecorded',
    );
    expect(describeSwitches(readSwitches({}))).toBe('');
    expect(() => readSwitches({ setting: 'fast' })).toThrow(/--setting/);
  });

  it('switch robustness off in the native setting alone', () => {
    const toggles = (setting: string) => webGpuOptions(readSwitches({ setting })).toggles?.join(' ');
    expect(toggles('native')).toContain('disable_robustness');
    for (const setting of ['page', 'flags']) expect(toggles(setting)).not.toContain('disable_robustness');
    expect(toggles('page')).not.toContain('allow_unsafe_apis');
  });
});

describe('a picture', () => {
  const figures = {
    backend: 'webgpu (a card)',
    width: 64,
    height: 64,
    steps: 2,
    cold: 2,
    warm: 1,
    step: 0.25,
    notices: ['weights held as float8'],
    peakBytes: 1e8,
  };

  it('is reported with what was held on the device, where that is counted, and what it took to keep to a budget', () => {
    const memory = { peakDeviceBytes: 3 * 2 ** 30, peakHostBytes: 2 ** 20 };
    const text = formatPicture({ ...figures, memory });
    expect(text).toContain("on the device at most 3 GiB, of the host's memory 1 MiB beside it");
    expect(text).toContain('weights held as float8');
    expect(formatPicture(figures)).not.toContain('on the device');
  });
});

describe('what is given with a benchmark that has no use for it', () => {
  it.each([
    { what: 'unet', budget: '4GB', field: '--budget' },
    { what: 'picture', lossy: true, field: '--lossy' },
    { what: 'vae', controlnet: 'folder', field: '--controlnet' },
  ])('is an error: %o', ({ field, ...args }) => {
    expect(() => readRequest(args)).toThrow(field);
  });
});

describe('treemap', () => {
  it('gives every size its share of the area, without overlaps', () => {
    const sizes = [9, 5, 3, 1, 1, 0.5];
    const area = { x: 10, y: 20, width: 300, height: 130 };
    const places = treemap(sizes, area);
    sizes.forEach((size, i) => {
      const { x, y, width, height } = places[i];
      expect(width * height).toBeCloseTo((size / 19.5) * 300 * 130, 6);
      expect(Math.min(x - 10, y - 20, 310 - x - width, 150 - y - height)).toBeGreaterThan(-1e-9);
      for (const other of places.slice(i + 1)) {
        const across = Math.min(x + width, other.x + other.width) - Math.max(x, other.x);
        const down = Math.min(y + height, other.y + other.height) - Math.max(y, other.y);
        expect(Math.min(across, down)).toBeLessThan(1e-9);
      }
    });
  });

  it('draws groups and their shapes as SVG', () => {
    const { roof } = figures({ flops: 1e12, bytes: 1e12 });
    const svg = pictureOfTime(profile, roof, ['a < b & c']);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(svg).toContain('a &lt; b &amp; c');
    expect(svg).toContain('linear (gemm): 6.00 ms, 86 %');
    expect(svg).toContain('1 of 8: 1.000 ms');
    expect(svg).not.toMatch(/NaN|undefined|Infinity|="-/);
  });
});
