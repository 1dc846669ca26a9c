/**
 * @file What pipelines need from a random number generator, whichever of torch's generators it reproduces.
 */
import { OptionError } from '../errors.ts';

/**
 * Element type of a draw. It selects the *stream*, not only the rounding: torch's CPU generator makes float16
 * numbers from fewer random bits, so they are other numbers than the float32 ones.
 */
type DrawDType = 'float32' | 'float16';

/** Options of a draw. */
export interface DrawOptions {
  /** Default 'float32'. For 'float16' the values are float16 numbers, widened to float32. */
  readonly dtype?: DrawDType;
}

/** A seeded source of random tensors; every draw moves it on. */
export interface NoiseSource {
  /** Standard normal values, in row-major order. */
  randn(shape: readonly number[], options?: DrawOptions): Float32Array;
  /** Uniform values in [0, 1), in row-major order. */
  rand(shape: readonly number[], options?: DrawOptions): Float32Array;
}

/** The number of elements of a shape; throws OptionError for a dimension that is no count or for over 2^31 - 1 in all. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  if (!Array.isArray(shape))
    throw new OptionError('it is no list of whole numbers', {
      field: 'shape',
      remedy: 'Give one, such as [1, 4, 64, 64]',
    });
  for (const dim of shape) {
    if (!Number.isInteger(dim) || dim < 0)
      throw new OptionError(`[${shape.join(', ')}] has a dimension that is not a whole number`, {
        field: 'shape',
        remedy: 'Give whole numbers, 0 or more',
      });
    count *= dim;
  }
  if (count > 0x7fffffff)
    throw new OptionError(`[${shape.join(', ')}] has more than 2^31 - 1 elements`, {
      field: 'shape',
      remedy: 'Draw it in parts',
    });
  return count;
}
