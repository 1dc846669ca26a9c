// Sine and cosine to the last bit or two of f32 for |x| < 8192: WGSL promises only 2^-11, and only within [-pi, pi].
// Reduction by pi / 2 in three parts (Cody and Waite) and Cephes' sinf and cosf polynomials.
fn sinCos(x: f32) -> vec2f {
  let n = round(x * 0.6366197723675814);
  let r = ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.54978994885783e-8;
  let z = r * r;
  let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
  let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
  let quadrant = i32(n) & 3;
  let swapped = select(vec2f(s, c), vec2f(c, s), (quadrant & 1) == 1);
  return swapped * vec2f(select(1.0, -1.0, quadrant >= 2), select(1.0, -1.0, quadrant == 1 || quadrant == 2));
}
