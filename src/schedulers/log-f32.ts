/**
 * @file NumPy's natural logarithm of float32 numbers, to the last bit.
 *
 * diffusers turns noise levels into timesteps through `numpy.log` of float32 tables, and cuts some of them down to whole
 * numbers: there an error in the last place is a timestep of difference. NumPy's own code for AVX2 (2.x,
 * `loops_exponent_log`) is a quotient of polynomials that is off by up to 4 units in the last place. Processors with
 * AVX-512 take Intel's vector library there, which rounds better and so gives other bits.
 */
const f32 = Math.fround;

// log(1 + x) = P(x) / Q(x), highest power first.
const P = [0.0258997912, 0.38088377, 1.4800006, 2.1126775, 1, 0].map(f32);
const Q = [0.0058750954, 0.15464764, 0.9864943, 2.453006, 2.6126775, 1].map(f32);

/** Horner's rule, each multiplication fused with its addition: exact in float64, then rounded. */
const polynomial = (coefficients: readonly number[], x: number): number =>
  coefficients.reduce((sum, coefficient) => f32(sum * x + coefficient));

/** log(value) of a float32 that is 0 or positive, finite and not subnormal. */
export function logF32(value: number): number {
  if (value === 0) return -Infinity;
  // value = 2^exponent * (1 + x) with 1 + x between the roots of 1/2 and 2; no float32 is so near to these as to be misjudged.
  const exponent = Math.round(Math.log2(value));
  const x = value / 2 ** exponent - 1;
  return f32(exponent * f32(Math.LN2) + f32(polynomial(P, x) / polynomial(Q, x)));
}
