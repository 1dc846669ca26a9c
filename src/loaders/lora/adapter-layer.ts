/** @file What one layer of an adapter adds to a weight, whatever kind of layer it is. */

/** A change of one weight, seen as a matrix of rows (output channels) x columns (everything else). */
export interface AdapterLayer {
  /** Thin matrices whose product, times `scale`, is the change; absent where it is no such product. */
  readonly factors?: Factors;
  /** What the adapter's alpha makes of a layer of its rank; the adapter's own weight comes on top. */
  readonly scale: number;
  /**
   * Adds the change at an adapter's weight to `sum` [rows, columns], in place.
   * @param base the weight without adapters, of the same size
   */
  addTo(sum: Float32Array, base: Float32Array, weight: number): void;
}

/** Two matrices, to be multiplied. */
export interface Factors {
  readonly rank: number;
  /** [rows, rank] */
  readonly up: Float32Array;
  /** [rank, columns] */
  readonly down: Float32Array;
}

/** Adds scale * up * down to a matrix, in place; each row is summed in float64 and rounded once. */
export function addProduct(sum: Float32Array, { rank, up, down }: Factors, scale: number): void {
  const columns = down.length / rank;
  const row = new Float64Array(columns);
  for (let r = 0; r * columns < sum.length; r++) {
    const target = sum.subarray(r * columns, (r + 1) * columns);
    row.set(target);
    for (let k = 0; k < rank; k++) {
      const factor = scale * up[r * rank + k];
      if (factor === 0) continue;
      const offset = k * columns;
      for (let c = 0; c < columns; c++) row[c] += factor * down[offset + c];
    }
    target.set(row);
  }
}

/** The product of two factors. */
export function product(factors: Factors): Float32Array {
  const result = new Float32Array((factors.up.length / factors.rank) * (factors.down.length / factors.rank));
  addProduct(result, factors, 1);
  return result;
}

/** LoRA (Hu et al. 2021) and LoCon: scale * up * down. */
export class LowRankLayer implements AdapterLayer {
  readonly factors: Factors;
  readonly scale: number;

  constructor(factors: Factors, scale: number) {
    this.factors = factors;
    this.scale = scale;
  }

  addTo(sum: Float32Array, _base: Float32Array, weight: number): void {
    addProduct(sum, this.factors, weight * this.scale);
  }
}

/** A change whose elements are computed when they are needed: LoHa and LoKr. */
export class DenseLayer implements AdapterLayer {
  readonly scale: number;
  readonly #change: () => Float32Array;

  constructor(change: () => Float32Array, scale: number) {
    this.#change = change;
    this.scale = scale;
  }

  addTo(sum: Float32Array, _base: Float32Array, weight: number): void {
    const change = this.#change();
    const scale = weight * this.scale;
    for (let i = 0; i < sum.length; i++) sum[i] += scale * change[i];
  }
}

/**
 * DoRA (Liu et al. 2024) as PEFT computes it (tuners/lora/dora.py): the rows of the weight with this change are brought to
 * the length that a vector of magnitudes says; what adapters before it have added is stretched with them, what those after
 * it add is not.
 */
export class MagnitudeLayer implements AdapterLayer {
  readonly scale: number;
  readonly #inner: AdapterLayer;
  readonly #magnitude: Float32Array;

  constructor(inner: AdapterLayer, magnitude: Float32Array) {
    this.#inner = inner;
    this.#magnitude = magnitude;
    this.scale = inner.scale;
  }

  addTo(sum: Float32Array, base: Float32Array, weight: number): void {
    const changed = base.slice();
    this.#inner.addTo(changed, base, weight);
    this.#inner.addTo(sum, base, weight);
    const columns = base.length / this.#magnitude.length;
    for (const [r, magnitude] of this.#magnitude.entries()) {
      const start = r * columns;
      let squares = 0;
      for (let i = start; i < start + columns; i++) squares += changed[i] * changed[i];
      const ratio = magnitude / Math.sqrt(squares);
      for (let i = start; i < start + columns; i++) sum[i] *= ratio;
    }
  }
}
