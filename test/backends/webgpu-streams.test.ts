/**
 * @file Programs whose weights come through slots compute what others do, wherever the host holds them, in the order in which they
 * were asked to run; and whose memory the host's buffers are in is found by how fast copies from them are.
 */

import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import type { Backend, Program, WeightStore } from '../../src/backends/backend.ts';
import type { MemoryKind } from '../../src/backends/byte-meter.ts';
import type { OpenDevice } from '../../src/backends/webgpu/device.ts';
import { BUFFER_USAGE } from '../../src/backends/webgpu/flags.ts';
import { findMappedMemory } from '../../src/backends/webgpu/device-memory.ts';
import { webgpu } from '../../src/backends/webgpu/webgpu.ts';
import { WorkOrder } from '../../src/backends/webgpu/work-order.ts';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { PlanDemand } from '../../src/plan/demand.ts';
import { layOutGraph } from '../../src/plan/planner.ts';
import { leastWeightBytes, placedBytes, placeWeights } from '../../src/plan/stream.ts';
import { graphWeights } from '../support/random-graph-data.ts';

const CHANNELS = 256;
const LAYERS = 6;

/** Layers one behind the other, whose weights take six times as much as activations. */
function layers(name: string) {
  const b = new GraphBuilder(name);
  let x = b.input('x', [64, CHANNELS], 'float', 'latent');
  for (let i = 0; i < LAYERS; i++) x = b.linear(x, `layer${i}`, { channels: CHANNELS });
  b.output('y', x);
  return b.build();
}

const GRAPH = layers('layers');
const rows = (seed: number): Float32Array =>
  Float32Array.from({ length: 64 * CHANNELS }, (_, i) => Math.sin(i * 0.37 + seed));

const opened = await Promise.all(
  (['host', 'device'] as const).map(async (mappedMemory) => ({
    mappedMemory,
    backend: await webgpu({ adapter: 'any', mappedMemory }).open(),
  })),
);
const present = opened.flatMap(({ mappedMemory, backend }): { where: MemoryKind; backend: Backend }[] =>
  'reason' in backend ? [] : [{ where: mappedMemory, backend }],
);
afterAll(() => present.forEach(({ backend }) => backend.dispose()));

/** The layers' program with as few weights on the device as can be, or with all. */
async function compile(
  backend: Backend,
  isStreamed: boolean,
): Promise<{ program: Program; weights: WeightStore; demand: PlanDemand; planned: number; moves: number }> {
  const planned = layOutGraph(GRAPH, backend.target('f32'));
  await backend.measureMemory!();
  const demand = backend.demand!(planned, () => 'F32');
  const placement = placeWeights([demand], 'host', leastWeightBytes([demand], 'host'));
  const weights = backend.createWeights(graphWeights(GRAPH));
  const program = await backend.compile(planned, { weights, ...(isStreamed && { placement }) });
  const tensors = demand.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    program,
    weights,
    demand,
    planned: demand.workBytes + tensors + placedBytes([demand], placement) + demand.loadBytes,
    moves: demand.weights.reduce((sum, { key, bytes }) => sum + (placement.resident.has(key) ? 0 : bytes), 0),
  };
}

describe.each(present)(
  'weights that the host brings, mapped memory being the $where',
  ({ where, backend }) => {
    it('give what weights on the device do, run for run, within what was planned', async () => {
      const whole = await compile(backend, false);
      const expected: Float32Array[] = [];
      for (const seed of [1, 2, 3]) {
        whole.program.write('x', rows(seed));
        whole.program.run();
        expected.push(await whole.program.read('y'));
      }
      whole.program.dispose();
      whole.weights.dispose();
      await backend.idle();
      const memory = backend.memory!;
      const before = { device: memory.deviceBytes, host: memory.hostBytes };
      memory.restart();
      const { program, weights, planned, moves } = await compile(backend, true);
      expect(memory.hostBytes - before.host).toBeGreaterThanOrEqual(moves);
      // Nothing is waited for between runs, and the array is used again.
      const x = rows(1);
      const reads = [1, 2, 3].map((seed) => {
        x.set(rows(seed));
        program.write('x', x);
        program.run();
        return program.read('y');
      });
      expect(await Promise.all(reads)).toEqual(expected);
      program.run();
      await backend.idle();
      expect(memory.peakDeviceBytes - before.device).toBeLessThanOrEqual(1.05 * planned);
      expect(moves).toBeGreaterThan((LAYERS - 1) * CHANNELS ** 2 * 4);
      program.dispose();
      weights.dispose();
      await backend.idle();
      expect(memory.deviceBytes).toBe(before.device);
      expect(memory.hostBytes).toBe(before.host);
      expect(where === 'device' ? memory.peakDeviceBytes : memory.peakHostBytes).toBeGreaterThan(0);
    });

    it('stay with the host while no program needs them, until they are others', async () => {
      const planned = layOutGraph(GRAPH, backend.target('f32'));
      await backend.measureMemory!();
      const demand = backend.demand!(planned, () => 'F32');
      const placement = placeWeights([demand], 'host', leastWeightBytes([demand], 'host'));
      const stored = graphWeights(GRAPH);
      const read: string[] = [];
      let factor = 1;
      const weights = backend.createWeights({
        ...stored,
        async read(name) {
          read.push(name);
          const values = new Float32Array((await stored.read(name)).buffer);
          return new Uint8Array(values.map((value) => factor * value).buffer);
        },
      });
      const before = backend.memory!.hostBytes;
      const draw = async (): Promise<Float32Array> => {
        read.length = 0;
        const program = await backend.compile(planned, { weights, placement, keepHeld: true });
        program.write('x', rows(1));
        program.run();
        const y = await program.read('y');
        program.dispose();
        weights.vacate!();
        return y;
      };
      const first = await draw();
      const names = GRAPH.weights.flatMap(({ parts }) => parts.map(({ name }) => name));
      expect(read.toSorted()).toEqual(names.toSorted());
      expect(await draw()).toEqual(first);
      // Small ones stay on the device while there is a program, and moving ones with the host.
      expect(read.toSorted()).toEqual(names.filter((name) => name.endsWith('bias')).toSorted());
      factor = 2;
      await weights.refresh(new Set(['layer2.weight']));
      const changed = await draw();
      expect(changed).not.toEqual(first);
      expect(read).toContain('layer2.weight');
      expect(read).not.toContain('layer5.weight');
      expect(await draw()).toEqual(changed);
      weights.dispose();
      await backend.idle();
      expect(backend.memory!.hostBytes).toBe(before);
    });

    it('are let go while a run waits for them', async () => {
      const memory = backend.memory!;
      const before = memory.deviceBytes + memory.hostBytes;
      const { program, weights } = await compile(backend, true);
      program.write('x', rows(1));
      program.run();
      program.run();
      program.dispose();
      await backend.idle();
      weights.dispose();
      await backend.idle();
      expect(memory.deviceBytes + memory.hostBytes).toBe(before);
      const again = await compile(backend, true);
      again.program.write('x', rows(1));
      again.program.run();
      expect((await again.program.read('y')).every(Number.isFinite)).toBe(true);
      again.program.dispose();
      again.weights.dispose();
    });
  },
);

describe('the order of work', () => {
  it('is kept behind what waits, and what fails there is told', async () => {
    const failures: unknown[] = [];
    const order = new WorkOrder((error) => void failures.push(error));
    const log: string[] = [];
    order.do(() => void log.push('at once'));
    expect(log).toEqual(['at once']);
    expect(order.isWaiting).toBe(false);
    let release = (): void => undefined;
    order.do(() => new Promise<void>((resolve) => (release = resolve)));
    order.do(() => void log.push('second'));
    order.do(() => Promise.reject(new Error('lost')));
    const third = order.after(() => Promise.resolve(log.push('third')));
    const fourth = order.after(() => Promise.reject(new Error('refused')));
    expect(log).toEqual(['at once']);
    expect(order.isWaiting).toBe(true);
    release();
    expect(await third).toBe(3);
    await expect(fourth).rejects.toThrow('refused');
    await order.after(() => Promise.resolve());
    expect(log).toEqual(['at once', 'second', 'third']);
    expect(failures).toEqual([new Error('lost')]);
  });
});

/** A device whose copies take their time by its own clock. */
function timed(fromMapped: number, vendor = 'nvidia', isSoftware = false): OpenDevice {
  let now = 0;
  let copied = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const buffer = ({ usage, size }: GPUBufferDescriptor) => ({ usage, size, destroy: () => undefined });
  const gpu = {
    createBuffer: buffer,
    createCommandEncoder: () => ({
      copyBufferToBuffer(from: { usage: number }, _at: number, _to: unknown, _into: number, size: number) {
        expect(from.usage & BUFFER_USAGE.MAP_WRITE).not.toBe(0);
        copied += size;
      },
      finish: () => ({}),
    }),
    queue: {
      submit: () => undefined,
      onSubmittedWorkDone() {
        now += 0.5 + (1000 * copied) / fromMapped;
        copied = 0;
        return Promise.resolve();
      },
    },
  };
  const scoped = <T>(_what: string, make: () => T): Promise<T> => Promise.resolve(make());
  // Only what the measurement uses.
  return { gpu, scoped, vendor, isSoftware } as unknown as OpenDevice;
}

describe('memory that the host writes to', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('is the device’s where copies from it are faster than any bus', async () => {
    for (const rate of [12e9, 26e9, 55e9, 110e9]) expect(await findMappedMemory(timed(rate))).toBe('host');
    for (const rate of [300e9, 1.5e12, 3e12]) expect(await findMappedMemory(timed(rate))).toBe('device');
  });

  it('is the host’s where the device shares it', async () => {
    expect(await findMappedMemory(timed(4e11, 'apple'))).toBe('host');
    expect(await findMappedMemory(timed(4e11, 'google', true))).toBe('host');
  });
});
