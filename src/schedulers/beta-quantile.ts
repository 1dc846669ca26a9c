/**
 * @file Quantiles of the symmetric beta distribution, which the "beta" noise schedule is spaced by.
 */

/**
 * The x in [0, 1] for which a Beta(shape, shape) variable is below x with the given probability
 * (`scipy.stats.beta.ppf(probability, shape, shape)`), to about 1e-14. `shape` is between 0 and 1.
 */
export function betaQuantile(probability: number, shape: number): number {
  // The distribution is symmetric, and the series below converges for x up to one half.
  if (probability > 0.5) return 1 - betaQuantile(1 - probability, shape);
  const target = probability * 2 * incompleteBeta(0.5, shape);
  // In u = x^shape the integral is nearly linear and convex, so that Newton's method falls on the root from above.
  let u = target * shape;
  for (let previous = Infinity; u < previous;) {
    const x = u ** (1 / shape);
    previous = u;
    u -= ((incompleteBeta(x, shape) - target) * shape) / (1 - x) ** (shape - 1);
  }
  return u ** (1 / shape);
}

/** Integral of (t (1 - t))^(shape - 1) from 0 to x, by its power series. */
function incompleteBeta(x: number, shape: number): number {
  let sum = 1 / shape;
  for (let n = 1, term = 1; term > 1e-17; n++) {
    term *= ((n - shape) / n) * x;
    sum += term / (shape + n);
  }
  return x ** shape * sum;
}
