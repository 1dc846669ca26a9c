/** @file Makes a device count the bytes of its buffers, whoever creates and destroys them. */

import type { ByteMeter, MemoryKind } from '../byte-meter.ts';
import { BUFFER_USAGE } from './flags.ts';

/** Buffers that the host maps lie in its memory; all others count as the device's. */
function kindOf(usage: number): MemoryKind {
  return (usage & (BUFFER_USAGE.MAP_READ | BUFFER_USAGE.MAP_WRITE)) === 0 ? 'device' : 'host';
}

/** From now on the meter knows of every buffer that the device makes. */
export function meterBuffers(gpu: GPUDevice, meter: ByteMeter): void {
  const createBuffer = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const { size } = descriptor;
    const kind = kindOf(descriptor.usage);
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
