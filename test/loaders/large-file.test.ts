/** @file A 6 GB safetensors file (sparse, so it takes no disk) is read tensor by tensor in little memory. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { openNodeFile } from '../../src/platform/node-file-source.ts';
import { rawSafetensors } from './make-safetensors.ts';

const MIB = 1 << 20;

test('first and last tensor of 6 GB, and pieces of a 3 GB one, within 128 MiB', async () => {
  const sizes = { first: 4096, middle: 3 * 1024 * MIB, big: 3 * 1024 * MIB + 2, last: 6 };
  let at = 0;
  const header = JSON.stringify(
    Object.fromEntries(
      Object.entries(sizes).map(([name, bytes]) => [
        name,
        { dtype: 'F16', shape: [bytes / 2], data_offsets: [at, (at += bytes)] },
      ]),
    ),
  );
  const folder = await mkdtemp(join(tmpdir(), 'calotype-'));
  try {
    const path = join(folder, 'model.safetensors');
    const head = rawSafetensors(header, Uint8Array.of(1, 2, 3, 4));
    const file = await open(path, 'w');
    await file.write(head);
    await file.write(Uint8Array.of(5, 6, 7, 8, 9, 10), 0, 6, head.length - 4 + at - 6);
    await file.close();

    // The highest that the process ever had, so that nothing between two looks goes unseen.
    const peakBefore = process.resourceUsage().maxRSS * 1024;
    const source = await openNodeFile(path);
    expect(source.size).toBeGreaterThan(6 * 1024 * MIB);
    const weights = await openSafetensors(source);
    expect([...(await weights.read('first')).subarray(0, 5)]).toEqual([1, 2, 3, 4, 0]);
    expect([...(await weights.read('last'))]).toEqual([5, 6, 7, 8, 9, 10]);
    let bytes = 0;
    let pieces = 0;
    for await (const piece of weights.readChunks('big', 4 * MIB)) {
      bytes += piece.length;
      // A quarter of a gigabyte is enough to see whether memory grows.
      if (++pieces === 64) break;
    }
    expect(bytes).toBe(256 * MIB);
    await weights.close();
    const grown = process.resourceUsage().maxRSS * 1024 - peakBefore;
    expect(grown).toBeLessThan(128 * MIB);
  } finally {
    await rm(folder, { recursive: true });
  }
});
