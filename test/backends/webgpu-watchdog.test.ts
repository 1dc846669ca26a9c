/** @file Work in submits that no watchdog minds: on slow adapters in several, on others whole, and always with the same bits. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Backend } from '../../src/backends/backend.ts';
import { cutRun } from '../../src/backends/webgpu/pace.ts';
import type * as recording from '../../src/backends/webgpu/recording.ts';
import { webgpu, type WebGpuOptions } from '../../src/index.ts';
import type { OpCase } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { computeCase } from '../support/compute-case.ts';
import { emulatedGpu } from '../support/emulated-gpu.ts';
import { slowGpu, type SlowGpu } from '../support/slow-gpu.ts';

/** Work of a workgroup of each launch, by the label of its bind group. */
const workOfGroup = new Map<string, number>();
vi.mock('../../src/backends/webgpu/recording.ts', async (importOriginal) => {
  const original = await importOriginal<typeof recording>();
  return {
    ...original,
    planLaunches: (...args: Parameters<typeof recording.planLaunches>) => {
      const launches = original.planLaunches(...args);
      for (const { launch, dispatch, work } of launches) {
        const [x, y, z] = launch.workgroups;
        workOfGroup.set(`${launch.name} of ${dispatch.node.name}`, work / (x * y * z));
      }
      return launches;
    },
  };
});

async function open(options: WebGpuOptions): Promise<Backend> {
  const opened = await webgpu({ autotune: false, ...options }).open();
  if ('reason' in opened) throw new Error(opened.reason);
  return opened;
}

function caseNamed(name: string): OpCase {
  const found = TEST_CASES.find((testCase) => testCase.name === name);
  if (!found) throw new RangeError(`no case ${name}`);
  return found;
}

beforeEach(() => workOfGroup.clear());
afterEach(() => vi.restoreAllMocks());

const SMALL = caseNamed('adaLayerNorm/33 channels');
const LARGE = caseNamed('adaLayerNorm/96 channels');
const WATCHDOG_MS = 2000;
/** An adapter that does so much work a millisecond. */
const adapterOf = (speed: number): SlowGpu =>
  slowGpu(
    emulatedGpu({ vendor: '', f16: false }),
    (label, groups) => (groups * (workOfGroup.get(label) ?? 0)) / speed,
  );

test('a slow adapter gets in parts what would hold it too long, a fast one gets all at once, and both give the same bits', async () => {
  const fast = adapterOf(1e9);
  const onFast = await open({ gpu: fast.gpu });
  await computeCase(onFast, 'f32', SMALL);
  const expected = await computeCase(onFast, 'f32', LARGE);
  expect(fast.submits.length).toBe(2);
  const [small, large] = fast.submits;
  expect(large).toBeGreaterThan(5 * small);

  // The first one takes a second there.
  const slow = adapterOf(1e9 * (small / 1000));
  const onSlow = await open({ gpu: slow.gpu });
  await computeCase(onSlow, 'f32', SMALL);
  expect(await computeCase(onSlow, 'f32', LARGE)).toEqual(expected);
  expect(slow.submits[0]).toBeCloseTo(1000);
  expect(slow.submits.length).toBeGreaterThan(5);
  expect(Math.max(...slow.submits)).toBeLessThan(WATCHDOG_MS);

  // What would have happened.
  const reckless = adapterOf(1e9 * (small / 1000));
  const onReckless = await open({ gpu: reckless.gpu, submitMs: 1e6 });
  await computeCase(onReckless, 'f32', SMALL);
  await computeCase(onReckless, 'f32', LARGE);
  expect(reckless.submits.length).toBe(2);
  expect(reckless.submits[1]).toBeGreaterThan(WATCHDOG_MS);
});

test('a run is cut where its work would be over the limit, and nowhere else', () => {
  const work = Float64Array.of(1, 2, 3, 10, 1, 1);
  expect(cutRun(work, 0, 6, 18)).toEqual([{ from: 0, to: 6 }]);
  expect(cutRun(work, 0, 6, 6)).toEqual([
    { from: 0, to: 3 },
    { from: 3, to: 4 },
    { from: 4, to: 6 },
  ]);
  expect(cutRun(work, 2, 5, 4)).toEqual([
    { from: 2, to: 3 },
    { from: 3, to: 4 },
    { from: 4, to: 5 },
  ]);
  expect(cutRun(work, 3, 3, 4)).toEqual([{ from: 3, to: 3 }]);
});

const found = await webgpu({ adapter: 'software' }).open();
const missing = 'reason' in found ? found.reason : undefined;
if ('reason' in found) process.stderr.write(`skipped: launches in parts: ${found.reason}\n`);
else found.dispose();

/** Of every way in which launches count their workgroups. */
const CASES = [
  'conv2d/two sources with everything',
  'attention/fused QKV, odd tokens',
  'linear/geglu, odd half',
];

test.skipIf(missing)(
  `a software adapter gives the same bits for launches in as many parts as they have${missing ? ` (skipped: ${missing})` : ''}`,
  { timeout: 120_000 },
  async () => {
    const whole = await open({ adapter: 'software' });
    const parted = await open({ adapter: 'software', submitMs: 1e-6 });
    await computeCase(parted, 'f32', SMALL);
    for (const testCase of CASES.map(caseNamed))
      expect(await computeCase(parted, 'f32', testCase), testCase.name).toEqual(
        await computeCase(whole, 'f32', testCase),
      );
    whole.dispose();
    parted.dispose();
  },
);
