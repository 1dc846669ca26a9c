/**
 * @file Normal numbers from uniform ones (Box and Muller, 1958), with the roundings of torch's CPU kernels.
 *
 * torch fills float32 tensors 16 values at a time with AVX2 code (also on AVX-512 machines) built on the Cephes
 * logarithm, sine and cosine in single precision. What decides the last bits is where the compiler fused
 * multiplications with additions; the places below give every bit of torch 2.11's x86-64 build
 * (test/random/generator.test.ts). Machines without AVX2 take the C library's functions and differ in last bits.
 */
import { toHalf } from './half.ts';

const f32 = Math.fround;

/** Fused multiply-add: the product of two float32 is exact in float64, and the sum is then rounded to float32. */
function fma(a: number, b: number, c: number): number {
  return f32(a * b + c);
}

const floatView = new Float32Array(1);
const bitsView = new Int32Array(floatView.buffer);

const SQRT_HALF = f32(Math.SQRT1_2);
// ln 2 and pi / 4 in parts, so that subtracting multiples of them loses nothing.
const LN2_HIGH = f32(0.693359375);
const LN2_LOW = f32(-2.1219444e-4);
const PI_4_PARTS = [0.78515625, 2.418756484985352e-4, 3.774894977445941e-8].map(f32);
const FOUR_OVER_PI = f32(1.27323954473516);
const TWO_PI = f32(2 * Math.PI);

// Polynomials of the Cephes library's logf, cosf and sinf, highest power first.
const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f32);
const COS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(f32);
const SIN = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(f32);

function polynomial(coefficients: readonly number[], x: number): number {
  let y = coefficients[0];
  for (let i = 1; i < coefficients.length; i++) y = fma(y, x, coefficients[i]);
  return y;
}

/** Natural logarithm of a float32 in (0, 1]. */
function log(value: number): number {
  floatView[0] = value;
  let exponent = (bitsView[0] >>> 23) - 126;
  bitsView[0] = (bitsView[0] & 0x807fffff) | 0x3f000000; // mantissa in [0.5, 1)
  const mantissa = floatView[0];
  let x = f32(mantissa - 1);
  if (mantissa < SQRT_HALF) {
    exponent -= 1;
    x = f32(x + mantissa);
  }
  const z = f32(x * x);
  const y = fma(f32(polynomial(LOG, x) * x), z, f32(exponent * LN2_LOW));
  return fma(exponent, LN2_HIGH, f32(x + f32(y - z * 0.5)));
}

/** Sine and cosine of a float32 that is 0 or more. */
function sinCos(angle: number): { sin: number; cos: number } {
  const octant = (Math.trunc(f32(angle * FOUR_OVER_PI)) + 1) & ~1;
  const sinSign = octant & 4 ? -1 : 1;
  const cosSign = (octant - 2) & 4 ? 1 : -1;
  let x = angle;
  for (const part of PI_4_PARTS) x = fma(octant, -part, x);
  const z = f32(x * x);
  const cos = f32(fma(f32(polynomial(COS, z) * z), z, -f32(z * 0.5)) + 1);
  const sin = fma(f32(polynomial(SIN, z) * z), x, x);
  return octant & 2 ? { sin: sinSign * cos, cos: cosSign * sin } : { sin: sinSign * sin, cos: cosSign * cos };
}

/** Turns 16 float32 uniforms in [0, 1) at `offset` into normals: radii from the first 8, angles from the last 8. */
export function normalBlockF32(values: Float32Array, offset: number): void {
  for (let i = offset; i < offset + 8; i++) {
    const radius = f32(Math.sqrt(f32(-2 * log(f32(1 - values[i])))));
    const { sin, cos } = sinCos(f32(TWO_PI * values[i + 8]));
    // Adding the mean, 0, turns -0 into 0.
    values[i] = radius * cos + 0;
    values[i + 8] = radius * sin + 0;
  }
}

/** As `normalBlockF32` for float16 uniforms: torch rounds the result of every operation to float16. */
export function normalBlockF16(values: Float32Array, offset: number): void {
  for (let i = offset; i < offset + 8; i++) {
    const radius = toHalf(Math.sqrt(toHalf(-2 * toHalf(Math.log(toHalf(1 - values[i]))))));
    const angle = toHalf(2 * Math.PI * values[i + 8]);
    values[i] = toHalf(radius * toHalf(Math.cos(angle))) + 0;
    values[i + 8] = toHalf(radius * toHalf(Math.sin(angle))) + 0;
  }
}

/** Two normals in float64 from two uniforms in [0, 1), as torch's scalar `normal_distribution<double>` makes them. */
export function normalPair(uniform1: number, uniform2: number): { first: number; second: number } {
  const radius = Math.sqrt(-2 * Math.log1p(-uniform2));
  const angle = 2 * Math.PI * uniform1;
  return { first: radius * Math.cos(angle), second: radius * Math.sin(angle) };
}
