/** @file The CUDA backend's targets: what passes, kernel choice and the planner know of a card. */

import { FUSIONS, type DeviceType, type FloatDType, type Target, type ValueId } from 'calotype/backend-kit';
import type { CudaContext, Precision } from './kernel.ts';
import { chooseKernel } from './kernels/index.ts';
import type { DeviceInfo } from './native.ts';

/** Of cudaMalloc, and more than vectors and the tensor memory accelerator ask for. */
const ALIGNMENT = 256;

/** Bytes of a value are counted in 64-bit integers; the card's memory is the limit. */
const MAX_BYTES = 2 ** 40;

/** Name of the targets for a type of activations. */
export function targetName(dtype: FloatDType): string {
  return `cuda-${dtype}`;
}

/** What kernels may know of nodes whose values have these types. */
export function contextOf(device: DeviceInfo, typeOf: (value: ValueId) => DeviceType): CudaContext {
  return { device, shapeOf: (value) => typeOf(value).shape, dtypeOf: (value) => typeOf(value).dtype };
}

/** The target of a card for a storage type. Kernels of one graph run one after the other, so that all share one arena. */
export function createTarget(dtype: FloatDType, device: DeviceInfo, precision: Precision = {}): Target {
  return {
    name: targetName(dtype),
    dtype,
    alignment: ALIGNMENT,
    maxBindingBytes: MAX_BYTES,
    maxBufferBytes: MAX_BYTES,
    mayReadAndWriteOneBuffer: true,
    fusions: new Set(FUSIONS),
    // The pass marks layers for any numbers of eight bits.
    ...(precision.eightBits && { int8: 'dynamic' as const }),
    select(node, typeOf) {
      const context = { ...contextOf(device, typeOf), ...precision };
      const kernel = chooseKernel(node, context);
      const inPlace = kernel.inPlace(node, context);
      return {
        kernel: kernel.id,
        scratchBytes: kernel.scratchBytes(node, context),
        ...(inPlace === undefined ? {} : { inPlace }),
      };
    },
  };
}
