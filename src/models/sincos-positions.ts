/** @file Two-dimensional sinusoidal position embedding (diffusers models/embeddings.py, `get_2d_sincos_pos_embed`). */

/** Options of `sincosPositions`. */
export interface SincosPositionOptions {
  /** A multiple of 4: sines and cosines of the column, then of the row. */
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
  /** Rows and columns at the size that the model was trained at: all sizes span the same range. */
  readonly baseSize: number;
  readonly interpolationScale: number;
}

/** Frequencies fall to 1 / this. */
const MAX_PERIOD = 10000;

/** [rows * columns, channels], row-major. Coordinates are rounded to f32 and angles are in float64, as in diffusers. */
export function sincosPositions({
  channels,
  rows,
  columns,
  baseSize,
  interpolationScale,
}: SincosPositionOptions): Float32Array {
  const quarter = channels / 4;
  const { fround } = Math;
  const coordinate = (i: number, count: number): number =>
    fround(fround(i / fround(count / baseSize)) / fround(interpolationScale));
  const result = new Float32Array(rows * columns * channels);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * channels;
      [coordinate(column, columns), coordinate(row, rows)].forEach((position, axis) => {
        for (let i = 0; i < quarter; i++) {
          const angle = position / MAX_PERIOD ** (i / quarter);
          result[at + 2 * axis * quarter + i] = Math.sin(angle);
          result[at + (2 * axis + 1) * quarter + i] = Math.cos(angle);
        }
      });
    }
  return result;
}
