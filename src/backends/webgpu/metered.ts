/** @file Makes a device count the bytes of its buffers, whoever creates and destroys them. */

import type { MemoryKind } from '../byte-meter.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';

/** Buffers that the host reads lie in its memory, and those that it writes to do on most devices; all others are the device's. */
function kindOf(usage: number, mappedMemory: MemoryKind): MemoryKind {
  return usage & BUFFER_USAGE.MAP_WRITE ? mappedMemory : usage & BUFFER_USAGE.MAP_READ ? 'host' : 'device';
}

/** Drivers are asked for memory by the 8 MiB for buffers smaller than this, which Dawn cuts into powers of two. */
const POOLED_BYTES = 4 * 1024 * 1024;

/** What a buffer takes of the device's memory; software adapters' memory is the host's, byte for byte. */
export function allocatedBytes({ isSoftware }: Pick<OpenDevice, 'isSoftware'>, bytes: number): number {
  return isSoftware || bytes === 0 || bytes >= POOLED_BYTES ? bytes : 2 ** Math.ceil(Math.log2(bytes));
}

/** From now on the meter knows of every buffer that the device makes. */
export function meterBuffers(device: OpenDevice): void {
  const { gpu, meter } = device;
  const createBuffer = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const kind = kindOf(descriptor.usage, device.mappedMemory);
    const size = kind === 'host' ? descriptor.size : allocatedBytes(device, descriptor.size);
    const destroy = buffer.destroy.bind(buffer);
    let isHeld = true;
    meter.add(kind, size);
    buffer.destroy = () => {
      if (isHeld) meter.remove(kind, size);
      isHeld = false;
      return destroy();
    };
    return buffer;
  };
}
