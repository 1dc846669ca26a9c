/**
 * @file What budgets of memory ask of a device: whose memory it is that the host writes to, and that freed memory is given back.
 *
 * Dawn puts buffers that the host writes to in the largest heap that the host can see: on cards whose whole memory it sees (resizable
 * BAR), and on hosts with less, that is the card's, and holding weights there would save nothing. WebGPU does not tell, so it is
 * measured: nothing comes over a bus as fast as from a card's own memory.
 */

import { OptionError } from '../../errors.ts';
import type { MemoryKind } from '../byte-meter.ts';
import type { WebGpuOptions } from './acquire.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';

export { demandOf } from './demand.ts';

const KINDS: readonly MemoryKind[] = ['host', 'device'];

/** Larger than caches. */
const BYTES = 64 * 1024 * 1024;
/** Copies in a measurement; some milliseconds over a bus. */
const COPIES = 16;
/** Measurements, of which the best counts. */
const TRIES = 3;
/** Sixteen lanes of PCIe 6 carry 121e9 at best, one way; cards' memories three times as much. */
const FASTEST_BUS = 150e9;

/**
 * Finds out what plans of memory have to know; see `Backend.measureMemory`.
 * @throws OptionError where it is said to be nobody's
 */
export async function measureMemory(
  device: OpenDevice,
  { mappedMemory: known }: Pick<WebGpuOptions, 'mappedMemory'>,
): Promise<void> {
  if (known !== undefined && !KINDS.includes(known))
    throw new OptionError(`${JSON.stringify(known)} is none of its values`, {
      field: 'mappedMemory',
      remedy: `Use one of ${KINDS.join(', ')}, or leave it out`,
    });
  const measured = MEASURED.get(device) ?? (known ? Promise.resolve(known) : findMappedMemory(device));
  MEASURED.set(device, measured);
  device.mappedMemory = await measured;
}

/** Devices whose memory is known or being measured. */
const MEASURED = new WeakMap<OpenDevice, Promise<MemoryKind>>();

/** Measures it, in 50 milliseconds. Memory that device and host share is the host's: what is held there is held once. */
export async function findMappedMemory(device: OpenDevice): Promise<MemoryKind> {
  const { gpu, isSoftware, vendor } = device;
  if (isSoftware || vendor === 'apple') return 'host';
  const { MAP_WRITE, COPY_SRC, COPY_DST } = BUFFER_USAGE;
  const [source, target] = await device.scoped('a measurement of memory', () => [
    gpu.createBuffer({ size: BYTES, usage: MAP_WRITE | COPY_SRC }),
    gpu.createBuffer({ size: BYTES, usage: COPY_DST }),
  ]);
  const copy = async (count: number): Promise<number> => {
    const encoder = gpu.createCommandEncoder();
    for (let i = 0; i < count; i++) encoder.copyBufferToBuffer(source, 0, target, 0, BYTES);
    const begin = performance.now();
    gpu.queue.submit([encoder.finish()]);
    await gpu.queue.onSubmittedWorkDone();
    return performance.now() - begin;
  };
  try {
    // Memory is cleared before its first use.
    await copy(1);
    let best = Infinity;
    for (let i = 0; i < TRIES; i++) best = Math.min(best, await copy(COPIES));
    return (1000 * BYTES * COPIES) / best > FASTEST_BUS ? 'device' : 'host';
  } finally {
    source.destroy();
    target.destroy();
    await gpu.queue.onSubmittedWorkDone();
  }
}

/**
 * Gives freed memory back to the driver. Dawn does so when what is submitted next is done, and until then there would be no room for
 * what comes in its place; a submit of nothing is none.
 */
export async function reclaimMemory(device: OpenDevice): Promise<void> {
  device.check();
  await device.order.after(async () => {
    const { queue } = device.gpu;
    const size = 4;
    const buffer = device.gpu.createBuffer({ size, usage: BUFFER_USAGE.COPY_DST });
    // Once for ranges of larger pieces of memory, and once for those pieces.
    for (let i = 0; i < 2; i++) {
      queue.writeBuffer(buffer, 0, new Uint8Array(size));
      queue.submit([]);
      await queue.onSubmittedWorkDone();
    }
    buffer.destroy();
  });
  device.check();
}
