/** @file Tensors that outlive runs: one buffer each, so that programs can share them. */

import { OptionError } from '../../errors.ts';
import { elementCount } from '../../kernels/kernel.ts';
import type { ExternalTensor } from '../../plan/plan.ts';
import type { DeviceDType } from '../../tensor/dtype.ts';
import { decodeToF32 } from '../../tensor/decode.ts';
import { encodeF16 } from '../../tensor/float16.ts';
import type { DeviceTensor } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';

/** Bindings are rounded up to this, so that vectors of four may cross the end of a value. */
export const PADDING_BYTES = 16;

/** Bytes rounded up to `PADDING_BYTES`. */
export function padded(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / PADDING_BYTES)) * PADDING_BYTES;
}

/** A tensor of its own on a device; zeros at first. */
export class WebGpuTensor implements DeviceTensor {
  readonly device: OpenDevice;
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  readonly buffer: GPUBuffer;

  /** Call inside `OpenDevice.scoped`. */
  constructor(device: OpenDevice, { name, shape, dtype, bytes }: ExternalTensor) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.buffer = device.gpu.createBuffer({
      label: name,
      size: padded(bytes),
      usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_DST | BUFFER_USAGE.COPY_SRC,
    });
  }

  dispose(): void {
    this.buffer.destroy();
  }
}

/** The tensor to use for `wanted`: a given one of another program. Throws OptionError if it does not fit. */
export function sharedTensor(device: OpenDevice, wanted: ExternalTensor, given: DeviceTensor): WebGpuTensor {
  const fits = given.dtype === wanted.dtype && elementCount(given.shape) === elementCount(wanted.shape);
  if (given instanceof WebGpuTensor && given.device === device && fits) return given;
  throw new OptionError(`cannot be shared: it is ${given.dtype} [${given.shape.join(', ')}]`, {
    field: wanted.name,
    remedy: `Give a tensor of this device, ${wanted.dtype} [${wanted.shape.join(', ')}]`,
  });
}

/** Elements as the device stores them, in whole multiples of 4 bytes. */
export function encodeElements(
  data: Float32Array | Int32Array,
  dtype: DeviceDType,
): Float32Array | Int32Array | Uint16Array {
  if (dtype !== 'f16' || data instanceof Int32Array) return data;
  const halves = new Uint16Array(Math.ceil(data.length / 2) * 2);
  encodeF16(data, halves);
  return halves;
}

/** `count` elements of device bytes as float32. */
export function decodeElements(bytes: ArrayBuffer, dtype: DeviceDType, count: number): Float32Array {
  if (dtype === 'i32') return Float32Array.from(new Int32Array(bytes, 0, count));
  if (dtype === 'f32') return new Float32Array(bytes, 0, count).slice();
  return decodeToF32(new Uint8Array(bytes, 0, 2 * count), 'F16');
}
