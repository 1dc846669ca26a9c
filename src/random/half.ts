/**
 * @file Rounding to float16 and back, for draws whose every operation is rounded to half precision.
 */

/** The float16 number nearest to the float32 nearest to `x` (ties to even), as C++ converts double to half. */
export function toHalf(x: number): number {
  const single = Math.fround(x);
  const magnitude = Math.abs(single);
  if (magnitude >= 65520) return single < 0 ? -Infinity : Infinity;
  // Spacing of float16 numbers at this magnitude; below 2^-14 they are subnormal and evenly spaced.
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14);
  const spacing = 2 ** (exponent - 10);
  // Adding and taking away 1.5 * 2^52 rounds a float64 to an integer, ties to even.
  return (single / spacing + 6755399441055744 - 6755399441055744) * spacing;
}
