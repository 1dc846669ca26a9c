/**
 * @file Elementary functions and activations, four floats at a time.
 *
 * NaN stays NaN. The relative error is below 1e-6 wherever the result is above 1e-36; what is smaller may become 0.
 * Coefficients are minimax fits of the relative error (Lawson 1961) made in float64.
 * The compiler inlines what is small; nothing here has branches that depend on data.
 */

/** a * b + c: one rounding in the relaxed build on machines with fused multiply-add, else two. */
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * exp(a + b) for |b| far below |a|; at least 2^-126 instead of going to 0, and infinite from 88.73 on.
 *
 * With n = round(a / ln 2) it is 2^n exp(r), where r = a - n ln 2 + b and ln 2 is a sum of two constants, the first of
 * which times n is exact. The polynomial is 2 exp(r), so that 2^(n - 1) covers all exponents from -125 to 128.
 *
 * Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits; with the bias of exponents added to that,
 * these bits only have to be shifted to become a power of two.
 */
function expOfSum(a: v128, b: v128): v128 {
  const magic = f32x4.splat(12582912 + 126);
  const x = f32x4.pmin(f32x4.pmax(a, f32x4.splat(-86.9)), f32x4.splat(88.8));
  const shifted = madd(x, f32x4.splat(1.4426950408889634), magic);
  const n = f32x4.sub(shifted, magic);
  const high = madd(n, f32x4.splat(-0.693359375), x);
  const r = f32x4.add(madd(n, f32x4.splat(2.12194440054690583e-4), high), b);
  let p = madd(r, f32x4.splat(0.0027628933880283), f32x4.splat(0.0167375610297201));
  p = madd(p, r, f32x4.splat(0.0833367884418177));
  p = madd(p, r, f32x4.splat(0.3333304021388569));
  p = madd(p, r, f32x4.splat(0.9999998682487436));
  p = madd(p, r, f32x4.splat(2));
  p = madd(p, r, f32x4.splat(2));
  return f32x4.mul(p, i32x4.shl(shifted, 23));
}

/**
 * 2^x for x <= 0, in fewer instructions: the reduction is exact. At least 2^-126. For softmax, whose scores
 * have log2(e) in their scale.
 */
export function exp2OfNegative(x: v128): v128 {
  const magic = f32x4.splat(12582912 + 127);
  const clamped = f32x4.pmax(x, f32x4.splat(-126));
  const shifted = f32x4.add(clamped, magic);
  const r = f32x4.sub(clamped, f32x4.sub(shifted, magic));
  let p = madd(r, f32x4.splat(0.0013276357954054), f32x4.splat(0.0096756556826767));
  p = madd(p, r, f32x4.splat(0.0555071448359658));
  p = madd(p, r, f32x4.splat(0.2402211761478688));
  p = madd(p, r, f32x4.splat(0.6931469657836801));
  p = madd(p, r, f32x4.splat(1.0000000720792223));
  return f32x4.mul(p, i32x4.shl(shifted, 23));
}

/** tanh(x): an odd polynomial up to 0.625 (Cephes), 1 - 2 / (exp(2 |x|) + 1) beyond. */
export function tanh(x: v128): v128 {
  const one = f32x4.splat(1);
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = madd(square, f32x4.splat(-5.70498872745e-3), f32x4.splat(2.06390887954e-2));
  p = madd(p, square, f32x4.splat(-5.37397155531e-2));
  p = madd(p, square, f32x4.splat(1.33314422036e-1));
  p = madd(p, square, f32x4.splat(-3.33332819422e-1));
  const near = madd(f32x4.mul(p, square), x, x);
  const e = expOfSum(f32x4.add(size, size), f32x4.splat(0));
  const beyond = f32x4.sub(one, f32x4.div(f32x4.splat(2), f32x4.add(e, one)));
  const sign = v128.and(x, i32x4.splat(0x80000000));
  return v128.bitselect(near, v128.or(beyond, sign), f32x4.lt(size, f32x4.splat(0.625)));
}

/**
 * The upper tail Q(x) = erfc(x / sqrt 2) / 2 of the normal distribution for x >= 0: exp(-x^2 / 2) times a polynomial in
 * 1 / (1 + 0.3 x). The square is split in an exact part and a small one, as exp makes absolute errors relative ones.
 */
function upperTail(size: v128): v128 {
  const x = f32x4.pmin(size, f32x4.splat(14));
  const t = f32x4.div(f32x4.splat(1), madd(x, f32x4.splat(0.3), f32x4.splat(1)));
  let p = madd(t, f32x4.splat(0.0356749613865126), f32x4.splat(-0.1572039148352311));
  p = madd(p, t, f32x4.splat(0.206355023085265));
  p = madd(p, t, f32x4.splat(-0.0536851102642292));
  p = madd(p, t, f32x4.splat(0.1285624356728957));
  p = madd(p, t, f32x4.splat(0.0999132379781529));
  p = madd(p, t, f32x4.splat(0.1207539979798563));
  p = madd(p, t, f32x4.splat(0.1196292960284141));
  const head = v128.and(x, i32x4.splat(0xfffff000));
  const half = f32x4.splat(-0.5);
  const square = f32x4.mul(f32x4.mul(head, head), half);
  const rest = f32x4.mul(f32x4.mul(f32x4.sub(x, head), f32x4.add(x, head)), half);
  const density = expOfSum(square, rest);
  return v128.andnot(f32x4.mul(f32x4.mul(p, t), density), f32x4.lt(square, f32x4.splat(-86.9)));
}

/** max(x, 0). */
export function relu(x: v128): v128 {
  return f32x4.pmax(x, f32x4.splat(0));
}

/** x * sigmoid(x), that is x / (1 + exp(-x)). */
export function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), expOfSum(f32x4.neg(x), f32x4.splat(0))));
}

/** x times the normal distribution function of x, that is x (1 + erf(x / sqrt 2)) / 2. */
export function gelu(x: v128): v128 {
  const tail = upperTail(f32x4.abs(x));
  const negative = f32x4.lt(x, f32x4.splat(0));
  return f32x4.mul(x, v128.bitselect(tail, f32x4.sub(f32x4.splat(1), tail), negative));
}

/** x * sigmoid(1.702 x). As in `upperTail`, the product is an exact part and a small one. */
export function quickGelu(x: v128): v128 {
  const clamped = f32x4.pmax(f32x4.pmin(x, f32x4.splat(60)), f32x4.splat(-60));
  const head = v128.and(clamped, i32x4.splat(0xfffff000));
  const product = f32x4.mul(head, f32x4.splat(-1.7021484375)); // of 12 bits
  const rest = f32x4.mul(f32x4.sub(clamped, head), f32x4.splat(-1.702));
  const e = expOfSum(product, madd(head, f32x4.splat(0.0001484375), rest));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), e));
}

/**
 * gelu's approximation x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016), which is
 * x * sigmoid(2 u). The exponent is made in float64, as exp makes its absolute error a relative one.
 */
export function geluTanh(x: v128): v128 {
  const clamped = f32x4.pmax(f32x4.pmin(x, f32x4.splat(30)), f32x4.splat(-30));
  const low = minusTwoU(f64x2.promote_low_f32x4(clamped));
  const high = minusTwoU(f64x2.promote_low_f32x4(v128.shuffle<f32>(clamped, clamped, 2, 3, 2, 3)));
  const head = bothHalves(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high));
  const lowRest = f64x2.sub(low, f64x2.promote_low_f32x4(head));
  const highRest = f64x2.sub(high, f64x2.promote_low_f32x4(v128.shuffle<f32>(head, head, 2, 3, 2, 3)));
  const rest = bothHalves(f32x4.demote_f64x2_zero(lowRest), f32x4.demote_f64x2_zero(highRest));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), expOfSum(head, rest)));
}

/** -sqrt(8 / pi) (x + 0.044715 x^3) in float64. */
function minusTwoU(x: v128): v128 {
  const square = f64x2.mul(x, x);
  const factor = f64x2.sub(
    f64x2.mul(square, f64x2.splat(-0.07135481627260025)),
    f64x2.splat(1.5957691216057308),
  );
  return f64x2.mul(x, factor);
}

/** The first two floats of `low`, then those of `high`. */
function bothHalves(low: v128, high: v128): v128 {
  return v128.shuffle<f32>(low, high, 0, 1, 4, 5);
}

/**
 * The activation of a kind: 0 none, 1 relu, 2 silu, 3 gelu, 4 quick_gelu, 5 tanh, 6 gelu_tanh, the
 * order in which `graph/op.ts` names them.
 */
export function activate(kind: i32, x: v128): v128 {
  switch (kind) {
    case 1:
      return relu(x);
    case 2:
      return silu(x);
    case 3:
      return gelu(x);
    case 4:
      return quickGelu(x);
    case 5:
      return tanh(x);
    case 6:
      return geluTanh(x);
    default:
      return x;
  }
}
