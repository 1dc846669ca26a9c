/**
 * The rate that the machine reaches at best: the inner loop of matrix products on panels that stay in its first-level
 * cache. `calotype bench` holds kernels against it.
 */

import { multiply6x8 } from './lib/micro-kernel';

/** Arguments: how often to multiply, steps of 4 along the sum. A step is 6 x 8 x 4 multiplications and additions. */
export function gemmPeak(args: usize, task: i32, scratch: usize): void {
  const repeats = load<i32>(args);
  const groups = load<i32>(args, 4);
  const rows = scratch;
  const column = rows + <usize>(groups * 96);
  const sums = column + <usize>(groups * 128);
  // Numbers whose products stay normal: subnormal ones are slow on some machines.
  for (let p = rows; p < sums; p += 16) v128.store(p, f32x4.splat(0.5));
  for (let i = 0; i < repeats; i++) multiply6x8(rows, 16, 96, column, sums, groups, 32, false);
}
