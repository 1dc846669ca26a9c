/**
 * @file Number sequences as NumPy and torch make them, to the last bit where timesteps depend on it.
 */

/** The nearest integer, halves to the even one (NumPy's `round`). */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** `numpy.linspace(start, stop, count)` in float64: both ends included, `start` alone for a count of 1. */
export function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) =>
    i === 0 ? start : i === count - 1 ? stop : i * step + start,
  );
}

/** `torch.linspace(start, stop, count)` in float32: the second half is counted from the end. */
export function linspaceF32(start: number, stop: number, count: number): Float32Array {
  const f32 = Math.fround;
  const [first, last] = [f32(start), f32(stop)];
  const step = f32(f32(last - first) / (count - 1));
  const half = Math.floor(count / 2);
  // A count of 1 has no step; torch gives `start`.
  if (count === 1) return Float32Array.of(first);
  return Float32Array.from({ length: count }, (_, i) =>
    i < half ? first + step * i : last - step * (count - 1 - i),
  );
}

/** `numpy.arange(start, stop, step)` in float64. Rounding can make it one longer than (stop - start) / step. */
export function arange(start: number, stop: number, step: number): number[] {
  // NumPy takes the step between its first two values.
  const delta = start + step - start;
  return Array.from({ length: Math.ceil((stop - start) / step) }, (_, i) => start + i * delta);
}

/** `numpy.interp(x, arange(table.length), table)`: linear between entries, constant beyond the ends. */
export function interpolate(table: ArrayLike<number>, x: number): number {
  const last = table.length - 1;
  if (x >= last) return table[last];
  const below = Math.max(Math.floor(x), 0);
  if (x <= below) return table[below];
  return (table[below + 1] - table[below]) * (x - below) + table[below];
}

/** The x with sum_k x[k] * nodes[k]^i = moments[i] for each i (Björck and Pereyra, 1970). */
export function solveVandermonde(nodes: readonly number[], moments: readonly number[]): number[] {
  const x = [...moments];
  const last = x.length - 1;
  for (let k = 0; k < last; k++) for (let i = last; i > k; i--) x[i] -= nodes[k] * x[i - 1];
  for (let k = last - 1; k >= 0; k--) {
    for (let i = k + 1; i <= last; i++) x[i] /= nodes[i] - nodes[i - k - 1];
    for (let i = k; i < last; i++) x[i] -= x[i + 1];
  }
  return x;
}
