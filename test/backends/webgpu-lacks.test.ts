/** @file What an adapter lacks is told to its user. */
import { expect, it } from 'vitest';
import { webgpu } from '../../src/index.ts';
import { emulatedGpu, type EmulatedGpu } from '../support/emulated-gpu.ts';

async function lacksOf(wish: Omit<EmulatedGpu, 'vendor'>): Promise<readonly string[] | undefined> {
  const gpu = emulatedGpu({ vendor: 'test', ...wish });
  const backend = await webgpu({ gpu, autotune: false }).open();
  if ('reason' in backend) throw new Error(backend.reason);
  backend.dispose();
  return backend.lacks;
}

it('names what an adapter does not have, and nothing that it has', async () => {
  const subgroups = { least: 32, most: 32, size: 32 };
  expect(await lacksOf({ f16: true, subgroups })).toEqual([]);
  expect(await lacksOf({ f16: false, subgroups })).toEqual([expect.stringContaining('shader-f16')]);
  expect(await lacksOf({ f16: true })).toEqual([expect.stringContaining('subgroups')]);
});
