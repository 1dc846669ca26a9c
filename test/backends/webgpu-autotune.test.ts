/** @file Autotuning on a device: it finds rows for a plan's nodes, keeps them, and leaves software adapters alone. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { caseGraph } from '../cases/case.ts';
import { TEST_CASES } from '../cases/index.ts';
import { emulatedGpu } from '../support/emulated-gpu.ts';

const folder = mkdtempSync(join(tmpdir(), 'calotype-autotune-'));
vi.stubEnv('XDG_CACHE_HOME', folder);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const open = (options: Parameters<typeof webgpu>[0]) => webgpu({ adapter: 'any', ...options }).open();
const opened = await open({ autotune: false });
const where = 'reason' in opened ? `skipped: ${opened.reason}` : opened.description;
if (!('reason' in opened)) opened.dispose();

describe.skipIf('reason' in opened)(`autotuning on ${where}`, () => {
  it('finds a row for what has none, once, and keeps it for the next time', async () => {
    const tuned = async (): Promise<boolean | undefined> => {
      const backend = await open({ traits: { software: false }, autotune: { seconds: 50 } });
      if ('reason' in backend) throw new Error(backend.reason);
      const gated = TEST_CASES.find(({ name }) => name === 'linear/geglu, odd half')!;
      const plan = layOutGraph(caseGraph(gated), backend.target('f32'));
      try {
        const learnt = await backend.tune?.(plan);
        if (learnt === true) expect(await backend.tune?.(plan)).toBe(false);
        return learnt;
      } finally {
        backend.dispose();
      }
    };
    expect(await tuned()).toBe(true);
    expect(await tuned()).toBe(false);
  });

  it('measures nothing on adapters whose traits are made up, unless it is asked to', async () => {
    const backend = await open({ traits: { software: false } });
    if ('reason' in backend) throw new Error(backend.reason);
    expect(backend.tune).toBeUndefined();
    backend.dispose();
  });
});

describe('autotuning on a device that', () => {
  /** Tunes for a GPU whose device is changed first; the bytes that it holds before and after. */
  async function tuneOn(change: (device: GPUDevice) => void): Promise<{ learnt: unknown; held: number }> {
    const gpu = emulatedGpu({ vendor: 'test', f16: false });
    const adapter = (await gpu.requestAdapter())!;
    const device = await adapter.requestDevice();
    change(device);
    adapter.requestDevice = () => Promise.resolve(device);
    const backend = await webgpu({ gpu, autotune: { seconds: 0.2 } }).open();
    if ('reason' in backend) throw new Error(backend.reason);
    const gated = TEST_CASES.find(({ name }) => name === 'linear/geglu, odd half')!;
    const plan = layOutGraph(caseGraph(gated), backend.target('f32'));
    const learnt = await backend.tune!(plan).catch((error: unknown) => error);
    return { learnt, held: backend.memory!.deviceBytes };
  }

  it('takes long to compile ends when its time is up', async () => {
    const begin = performance.now();
    const { learnt, held } = await tuneOn((device) => {
      device.createComputePipelineAsync = () => new Promise(() => undefined);
    });
    expect(learnt).toBe(false);
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(held).toBe(0);
  });

  it('fails frees what it made', async () => {
    const { learnt, held } = await tuneOn((device) => {
      device.createCommandEncoder = () => {
        throw new Error('no encoder today');
      };
    });
    expect(learnt).toEqual(new Error('no encoder today'));
    expect(held).toBe(0);
  });
});
