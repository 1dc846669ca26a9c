/**
 * @file Weights that adapters change are what the host makes of them, whatever their parts and padding; once adapters are there, another choice
 * of them reads nothing and uploads no factors; and unloading gives everything back.
 */

import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { acquireDevice } from '../../src/backends/webgpu/acquire.ts';
import { BUFFER_USAGE, MAP_READ } from '../../src/backends/webgpu/flags.ts';
import { WebGpuWeights, type WeightRequest } from '../../src/backends/webgpu/weights.ts';
import type { Packing } from '../../src/kernels/packing.ts';
import { LowRankLayer, type AdapterLayer } from '../../src/loaders/lora/adapter-layer.ts';
import { AdaptedReader } from '../../src/pipelines/lora/adapted-reader.ts';
import { decodeToF32 } from '../../src/tensor/decode.ts';
import '../support/nmse.ts';

const acquired = await acquireDevice({ adapter: 'any' });
const device = 'reason' in acquired ? undefined : acquired;
const where = 'reason' in acquired ? `skipped: ${acquired.reason}` : acquired.description;
afterAll(() => device?.destroy());
afterEach(() => void vi.restoreAllMocks());

/** Fused projections, a gated layer, and convolutions whose channels are padded. */
const WEIGHTS: readonly { readonly packing: Packing; readonly shapes: readonly (readonly number[])[] }[] = [
  {
    packing: { kind: 'rows', sources: [40], gate: 0, columns: 16, depth: 32 },
    shapes: [
      [24, 40],
      [24, 40],
      [12, 40],
    ],
  },
  { packing: { kind: 'rows', sources: [40], gate: 8, columns: 16, depth: 32 }, shapes: [[48, 40]] },
  { packing: { kind: 'rows', sources: [10, 6], gate: 0, columns: 16, depth: 32 }, shapes: [[20, 16, 3, 3]] },
  { packing: { kind: 'rows', sources: [12], gate: 0, columns: 16, depth: 32 }, shapes: [[20, 12, 3, 3]] },
  { packing: { kind: 'plain' }, shapes: [[6, 20]] },
];

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const wave = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i + seed));

const REQUESTS = WEIGHTS.map(({ packing, shapes }, i): WeightRequest => ({
  weight: { value: 0, parts: shapes.map((shape, part) => ({ name: `${i}.${part}`, shape })) },
  shape: [shapes.reduce((sum, [rows]) => sum + rows, 0), ...shapes[0].slice(1)],
  dtype: 'f32',
  packing,
}));
const PARTS = REQUESTS.flatMap(({ weight }) => weight.parts);

/** Layers of an adapter for all parts, or for every second. */
function adapter(rank: number, seed: number, stride = 1): Map<string, AdapterLayer> {
  return new Map(
    PARTS.filter((_, i) => i % stride === 0).map(({ name, shape }, i) => {
      const [up, down] = [wave(shape[0] * rank, seed + i), wave((count(shape) / shape[0]) * rank, seed - i)];
      return [name, new LowRankLayer({ rank, up, down }, 0.5)];
    }),
  );
}

/** A store of all weights, and what it asked of its files and of the queue. */
async function open() {
  let reads = 0;
  const reader = new AdaptedReader({
    info: (name) => ({ dtype: 'F32', shape: PARTS.find((part) => part.name === name)!.shape, file: '' }),
    read(name) {
      reads++;
      const index = PARTS.findIndex((part) => part.name === name);
      return Promise.resolve(new Uint8Array(wave(count(PARTS[index].shape), index).buffer));
    },
  });
  const store = new WebGpuWeights(device!, reader);
  const buffers = await store.loading(() => Promise.all(REQUESTS.map((request) => store.load(request))));
  const adapters = { a: adapter(4, 0.1), b: adapter(7, 0.2, 2) };
  const layersOf = (weights: Partial<Record<keyof typeof adapters, number>>, useOf = weights) => {
    const lists = <T>(item: (layer: AdapterLayer, weight: number) => T, names: typeof weights) =>
      new Map(
        PARTS.flatMap(({ name }): [string, T[]][] => {
          const items = (['a', 'b'] as const).flatMap((own) => {
            const [layer, weight] = [adapters[own].get(name), names[own]];
            return layer && weight !== undefined ? [item(layer, weight)] : [];
          });
          return items.length > 0 ? [[name, items]] : [];
        }),
      );
    return {
      active: lists((layer, weight) => ({ layer, weight }), useOf),
      loaded: lists((layer) => layer, weights),
    };
  };
  return {
    store,
    /** Loads the adapters that are named, and uses some of them. */
    async become(loaded: Parameters<typeof layersOf>[0], used = loaded, keepBytes = Infinity): Promise<void> {
      const { tensors } = reader.setLayers(layersOf(loaded, used));
      await store.refresh(tensors, { keepBytes });
    },
    bytes: () => Promise.all(buffers.map(bytesOf)),
    /** As the host makes them. */
    expected: () => Promise.all(REQUESTS.map((request) => store.packed(request, 'f32'))),
    reads: () => reads,
  };
}

async function bytesOf(buffer: GPUBuffer): Promise<Uint8Array> {
  const { gpu } = device!;
  const copy = gpu.createBuffer({ size: buffer.size, usage: BUFFER_USAGE.COPY_DST | BUFFER_USAGE.MAP_READ });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  gpu.queue.submit([encoder.finish()]);
  await copy.mapAsync(MAP_READ);
  const bytes = new Uint8Array(copy.getMappedRange()).slice();
  copy.destroy();
  device!.check();
  return bytes;
}

describe.skipIf(!device)(`adapters on ${where}`, () => {
  test('give what the host would, at every change', async () => {
    const { store, become, bytes, expected } = await open();
    const base = await bytes();
    for (const [loaded, used, keepBytes] of [
      [{ a: 1 }],
      [{ a: 1, b: -0.5 }],
      [{ a: 1, b: 1 }, { b: 1 }],
      [{ a: 1, b: 1 }, { a: 0.25 }],
      // No room at all, and for some.
      [{ a: 1, b: 1 }, { a: 0.5 }, 0],
      [{ a: 1, b: 1 }, { b: 0.5 }, 20_000],
      [{ b: 2 }],
    ] as const) {
      await become(loaded, used, keepBytes);
      expect(store.bytes).toBeLessThanOrEqual(base.reduce((sum, own) => sum + own.length, keepBytes ?? 1e6));
      const given = await bytes();
      for (const [i, own] of (await expected()).entries())
        expect(decodeToF32(given[i].subarray(0, own.length), 'F32')).toMatchNmse(
          decodeToF32(own, 'F32'),
          1e-6,
        );
    }
    await become({});
    expect(await bytes()).toEqual(base);
    store.dispose();
  });

  test('are switched by telling the device which of them count', async () => {
    const { store, become, bytes, reads } = await open();
    const base = await bytes();
    const before = { bytes: store.bytes, device: device!.meter.deviceBytes };
    await become({ a: 1 });
    await become({ a: 1, b: 1 }, { b: 1 });
    const first = await bytes();
    const wasRead = reads();
    const written = vi.spyOn(device!.gpu.queue, 'writeBuffer');
    const made = vi.spyOn(device!.gpu, 'createBuffer');
    const submitted = vi.spyOn(device!.gpu.queue, 'submit');
    for (const used of [{ a: 1 }, {}, { a: 0.5, b: 0.5 }, { b: 1 }]) {
      submitted.mockClear();
      await become({ a: 1, b: 1 }, used);
      expect(submitted).toHaveBeenCalledTimes(1);
    }
    expect(reads()).toBe(wasRead);
    expect(made).not.toHaveBeenCalled();
    for (const [, , data] of written.mock.calls)
      expect(ArrayBuffer.isView(data) ? data.byteLength : Infinity).toBeLessThanOrEqual(16 * 9);
    expect(await bytes()).toEqual(first);
    // What is unloaded goes, and what is left is not uploaded again.
    const both = store.bytes;
    await become({ b: 1 });
    const one = store.bytes;
    expect(one).toBeLessThan(both);
    await become({ b: 2 });
    expect(store.bytes).toBe(one);
    await become({});
    expect(await bytes()).toEqual(base);
    expect(reads()).toBe(wasRead);
    expect({ bytes: store.bytes, device: device!.meter.deviceBytes }).toEqual(before);
    store.dispose();
  });
});
