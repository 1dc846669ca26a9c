/**
 * @file Rounding to float16, for draws whose every operation is rounded to half precision.
 */
import { f16ToF32, f32ToF16 } from '../tensor/float16.ts';

/** The float16 number nearest to the float32 nearest to `x` (ties to even), as C++ converts double to half. */
export function toHalf(x: number): number {
  return f16ToF32(f32ToF16(x));
}
