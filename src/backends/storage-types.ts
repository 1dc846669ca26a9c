/** @file The refusal of storage types that a backend has no kernels for. */

import { OptionError } from '../errors.ts';
import type { FloatDType } from '../tensor/dtype.ts';

/** Throws OptionError for bf16; the `target` of backends that know f32 and f16 alone begins with it. */
export function refuseBF16(backend: string, dtype: FloatDType): void {
  if (dtype !== 'bf16') return;
  throw new OptionError(`the backend ${backend} does not compute in bf16`, {
    field: 'dtype',
    remedy: "Use 'f16' or 'auto', or the backend cuda",
  });
}
