/** @file The CPU backend's target: what passes, kernel choice and the planner know of it. */

import { FUSIONS, type Target } from '../../plan/target.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import { refuseBF16 } from '../storage-types.ts';
import { ALIGNMENT, type CpuContext } from './kernel.ts';
import { chooseKernel } from './kernels/index.ts';

/** No value may be larger: kernels count bytes in 32-bit integers, signed in places. */
const MAX_VALUE_BYTES = 2 ** 31 - 2 ** 16;

/** f32 throughout; weights keep a stored type of fewer bits where kernels can read it. */
export const CPU_TARGET: Target = {
  name: 'cpu-f32',
  dtype: 'f32',
  alignment: ALIGNMENT,
  maxBindingBytes: MAX_VALUE_BYTES,
  maxBufferBytes: MAX_VALUE_BYTES,
  mayReadAndWriteOneBuffer: true,
  fusions: new Set(FUSIONS),
  select(node, typeOf) {
    const context: CpuContext = {
      shapeOf: (value) => typeOf(value).shape,
      dtypeOf: (value) => typeOf(value).dtype,
    };
    const kernel = chooseKernel(node, context);
    const inPlace = kernel.inPlace(node, context);
    return {
      kernel: kernel.id,
      scratchBytes: kernel.scratchBytes(node, context),
      ...(inPlace === undefined ? {} : { inPlace }),
    };
  },
};

/** The target for a storage type: f16 is for weights, and rounds those that are wider; arithmetic is f32. */
export function targetFor(dtype: FloatDType): Target {
  refuseBF16('cpu', dtype);
  return { ...CPU_TARGET, weightDtype: dtype };
}
