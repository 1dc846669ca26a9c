/** @file Reads the modulation of diffusion transformers: see `graph/modulation.ts`. */

import { lastAxis, type Tensor } from './op.ts';

/** The columns of one image. */
export function modulationAt(modulation: Tensor, table: Tensor, image: number): (column: number) => number {
  const columns = lastAxis(modulation.shape);
  return (column) => modulation.data[image * columns + column] + table.data[column];
}
