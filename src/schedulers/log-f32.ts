/**
 * @file NumPy's natural logarithm of float32 numbers, to the last bit.
 *
 * diffusers turns noise levels into timesteps through `numpy.log` of float32 tables, and cuts some of them down to whole
 * numbers: there an error in the last place is a timestep of difference. NumPy's own code for AVX2 (2.x,
 * `loops_exponent_log`) is a quotient of polynomials that is off by up to 4 units in the last place. Processors with
 * AVX-512 take Intel's vector library there, which rounds better and so gives other bits.
 */
const f32 = Math.fround;

const SQRT_HALF = f32(Math.SQRT1_2);
const LN2 = f32(Math.LN2);

// log(1 + x) = P(x) / Q(x), highest power first.
const P = [0.025899791179079226, 0.3808837741388408, 1.4800006335765066, 2.112677543073053, 1, 0].map(f32);
const Q = [
  0.005875095403124574, 0.15464763749839067, 0.9864942958519419, 2.453006071784736, 2.6126775430731093, 1,
].map(f32);

const bits = new DataView(new ArrayBuffer(4));

/** log(value) of a float32 that is 0 or positive, finite and not subnormal. */
export function logF32(value: number): number {
  if (value === 0) return -Infinity;
  bits.setFloat32(0, value);
  const word = bits.getInt32(0);
  bits.setInt32(0, (word & 0x7fffff) | 0x3f000000); // mantissa in [0.5, 1)
  const mantissa = bits.getFloat32(0);
  const exponent = (word >> 23) - 126;
  const doubled = mantissa <= SQRT_HALF;
  const x = f32((doubled ? 2 * mantissa : mantissa) - 1);
  return fma(doubled ? exponent - 1 : exponent, LN2, f32(polynomial(P, x) / polynomial(Q, x)));
}

function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((sum, coefficient) => fma(sum, x, coefficient));
}

/** Fused multiply-add: the product of two float32 is exact in float64, and the sum is then rounded to float32. */
function fma(a: number, b: number, c: number): number {
  return f32(a * b + c);
}
