/** @file Tensors that outlive runs: one range each, so that programs can share them. */

import { OptionError } from 'calotype';
import {
  decodeToF32,
  encodeBF16,
  encodeF16,
  type DeviceDType,
  type DeviceTensor,
  type ExternalTensor,
} from 'calotype/backend-kit';
import type { OpenDevice, Range } from './device.ts';
import { elementCount } from './kernel.ts';

/** A tensor of its own on a card; zeros at first. */
export class CudaTensor implements DeviceTensor {
  readonly device: OpenDevice;
  readonly shape: readonly number[];
  readonly dtype: DeviceDType;
  readonly range: Range;
  #disposed = false;

  constructor(device: OpenDevice, { name, shape, dtype, bytes }: ExternalTensor) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.range = device.allocate(bytes, `tensor "${name}"`);
    device.fill(this.range, 0);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.device.release(this.range);
  }
}

/** The tensor to use for `wanted`: a given one of another program. Throws OptionError if it does not fit. */
export function sharedTensor(device: OpenDevice, wanted: ExternalTensor, given: DeviceTensor): CudaTensor {
  const fits = given.dtype === wanted.dtype && elementCount(given.shape) === elementCount(wanted.shape);
  if (given instanceof CudaTensor && given.device === device && fits) return given;
  throw new OptionError(`cannot be shared: it is ${given.dtype} [${given.shape.join(', ')}]`, {
    field: wanted.name,
    remedy: `Give a tensor of this card, ${wanted.dtype} [${wanted.shape.join(', ')}]`,
  });
}

/** Elements as the card stores them. */
export function encodeElements(
  data: Float32Array | Int32Array,
  dtype: DeviceDType,
): Float32Array | Int32Array | Uint16Array {
  if (data instanceof Int32Array) return data;
  if (dtype === 'bf16') return encodeBF16(data);
  return dtype === 'f16' ? encodeF16(data) : data;
}

/** The card's bytes as float32. */
export function decodeElements(bytes: ArrayBuffer, dtype: DeviceDType): Float32Array {
  if (dtype === 'i32') return Float32Array.from(new Int32Array(bytes));
  if (dtype === 'f32') return new Float32Array(bytes);
  return decodeToF32(new Uint8Array(bytes), dtype === 'f16' ? 'F16' : 'BF16');
}
