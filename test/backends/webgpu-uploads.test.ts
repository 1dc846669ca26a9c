/** @file Weights reach the device as they are, whichever way: through staging memory, and packed by the device as by the host. */

import { afterAll, describe, expect, test } from 'vitest';
import { acquireDevice } from '../../src/backends/webgpu/acquire.ts';
import { BUFFER_USAGE, MAP_READ } from '../../src/backends/webgpu/flags.ts';
import { UploadQueue } from '../../src/backends/webgpu/uploads.ts';
import { WeightPacker } from '../../src/backends/webgpu/weight-packer.ts';
import { bufferBytes, WebGpuWeights, type WeightRequest } from '../../src/backends/webgpu/weights.ts';
import type { Packing } from '../../src/kernels/packing.ts';
import { STORED_DTYPES, type FloatDType, type StoredDType } from '../../src/tensor/dtype.ts';

const acquired = await acquireDevice({ adapter: 'any' });
const device = 'reason' in acquired ? undefined : acquired;
const where = 'reason' in acquired ? `skipped: ${acquired.reason}` : acquired.description;
afterAll(() => device?.destroy());

const MIB = 2 ** 20;

function target(size: number): GPUBuffer {
  const { STORAGE, COPY_DST, COPY_SRC } = BUFFER_USAGE;
  return device!.gpu.createBuffer({ size, usage: STORAGE | COPY_DST | COPY_SRC });
}

async function bytesOf(buffer: GPUBuffer): Promise<Uint8Array> {
  const { gpu } = device!;
  const { COPY_DST, MAP_READ: READ } = BUFFER_USAGE;
  const copy = gpu.createBuffer({ size: buffer.size, usage: COPY_DST | READ });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  gpu.queue.submit([encoder.finish()]);
  await copy.mapAsync(MAP_READ);
  const bytes = new Uint8Array(copy.getMappedRange()).slice();
  copy.destroy();
  buffer.destroy();
  device!.check();
  return bytes;
}

/** Bytes of any value, all different from their neighbours. */
function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 2654435761);
  return new Uint8Array(words.buffer);
}

describe.skipIf(!device)(`uploads on ${where}`, () => {
  test('arrive in whole, at their offsets, and leave no staging memory', async () => {
    const uploads = new UploadQueue(device!);
    const sizes = [3 * MIB, 20 * MIB + 4, 7 * MIB];
    const targets = sizes.map((size) => target(size + 16));
    const before = device!.meter.hostBytes;
    await uploads.during(async () => {
      await Promise.all(sizes.map((size, i) => uploads.write(targets[i], 16, pattern(size, i))));
      // As much again, so that staging memory is used again.
      await Promise.all(sizes.map((size, i) => uploads.write(targets[i], 16, pattern(size, i + 7))));
    });
    expect(device!.meter.hostBytes).toBe(before);
    for (const [i, size] of sizes.entries()) {
      const bytes = await bytesOf(targets[i]);
      expect(bytes.subarray(0, 16).every((byte) => byte === 0)).toBe(true);
      expect(Buffer.compare(bytes.subarray(16), pattern(size, i + 7))).toBe(0);
    }
  });

  test('that nobody waits for leave none either', async () => {
    const uploads = new UploadQueue(device!);
    const buffer = target(2 * MIB);
    const before = device!.meter.hostBytes;
    let late: Promise<void> | undefined;
    const stopped = uploads.during(async () => {
      late = uploads.write(buffer, 0, pattern(2 * MIB, 1));
      await Promise.resolve();
      throw new Error('stopped');
    });
    await expect(stopped).rejects.toThrow('stopped');
    await late;
    expect(Buffer.compare(await bytesOf(buffer), pattern(2 * MIB, 1))).toBe(0);
    expect(device!.meter.hostBytes).toBe(before);
  });
});

const rows = (wish: Partial<Packing & { kind: 'rows' }>): Packing => ({
  kind: 'rows',
  sources: [64],
  gate: 0,
  columns: 16,
  depth: 32,
  ...wish,
});
const blocks = (wish: Partial<Packing & { kind: 'blocks' }>): Packing => ({
  kind: 'blocks',
  sources: [64],
  gate: 0,
  columns: 32,
  ...wish,
});

const PACKED: readonly {
  readonly packing: Packing;
  /** Of each part. */
  readonly shapes: readonly (readonly number[])[];
  readonly stored: StoredDType;
  readonly dtype: FloatDType;
}[] = [
  { packing: rows({}), shapes: [[250, 64, 3, 3]], stored: 'F16', dtype: 'f16' },
  { packing: rows({ sources: [60, 44] }), shapes: [[256, 104, 3, 3]], stored: 'F32', dtype: 'f16' },
  { packing: rows({ gate: 8 }), shapes: [[2048, 64]], stored: 'F16', dtype: 'f16' },
  {
    packing: rows({ sources: [72] }),
    shapes: [
      [640, 72],
      [640, 72],
      [644, 72],
    ],
    stored: 'BF16',
    dtype: 'f32',
  },
  { packing: blocks({}), shapes: [[260, 64, 3, 3]], stored: 'F16', dtype: 'f32' },
  { packing: { kind: 'plain' }, shapes: [[1024, 132]], stored: 'F16', dtype: 'f32' },
];

describe.skipIf(!device)(`weights that the device packs (${where})`, () => {
  test.each(
    PACKED.map(
      (one) =>
        [`${one.packing.kind} of ${one.stored} as ${one.dtype}, ${one.shapes.join(' + ')}`, one] as const,
    ),
  )('%s', async (_name, { packing, shapes, stored, dtype }) => {
    const parts = shapes.map((shape, i) => ({ name: `part ${i}`, shape }));
    const reader = {
      info: (name: string) => ({
        dtype: stored,
        shape: parts.find((part) => part.name === name)!.shape,
        file: '',
      }),
      read(name: string) {
        const index = parts.findIndex((part) => part.name === name);
        const count = shapes[index].reduce((a, b) => a * b, 1);
        return Promise.resolve(numbers(count, stored, index));
      },
    };
    const shape = [shapes.reduce((sum, [own]) => sum + own, 0), ...shapes[0].slice(1)];
    const request: WeightRequest = { weight: { value: 0, parts }, shape, dtype, packing };
    const onHost = await new WebGpuWeights(device!, reader).packed(request, dtype);
    const uploads = new UploadQueue(device!);
    const packer = new WeightPacker(device!, reader, uploads);
    const buffer = target(bufferBytes(request));
    const plan = packer.planFor(request);
    expect(plan).toBeDefined();
    await uploads.during(() => packer.pack(plan!, request, buffer));
    expect(Buffer.compare(await bytesOf(buffer), onHost)).toBe(0);
  });
});

/** Numbers of all sizes, subnormals included, none of them NaN. */
function numbers(count: number, stored: StoredDType, seed: number): Uint8Array {
  const bytes = pattern(Math.ceil((count * STORED_DTYPES[stored]) / 4) * 4, seed);
  if (stored === 'F32') {
    const words = new Uint32Array(bytes.buffer);
    // Exponents about those of halves.
    words.forEach((word, i) => (words[i] = (word & 0x807fffff) | ((100 + (word % 46)) << 23)));
  } else {
    const [most, bit] = stored === 'F16' ? [0x7c00, 0x4000] : [0x7f80, 0x4000];
    const halves = new Uint16Array(bytes.buffer);
    halves.forEach((half, i) => (halves[i] = (half & most) === most ? half & ~bit : half));
  }
  return bytes.subarray(0, count * STORED_DTYPES[stored]);
}
