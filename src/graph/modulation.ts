/**
 * @file How diffusion transformers are conditioned: numbers for scales, shifts and gates of all channels, one row for each
 * image, to which every block adds a table of its own (adaLN-single, Chen et al. 2023, PixArt-alpha).
 */

import { check, checkDim, checkRank, checkShape, dimOf, type ValueId, type ValueType } from './op.ts';

/** Where modulation comes from; a type, as nodes' inputs are records. */
export type ModulationInputs = {
  /** [batch, columns] */
  readonly modulation: ValueId;
  /** [columns], added to each row. */
  readonly table: ValueId;
};

/** Throws GraphError unless the columns from `first` on hold a number for each channel of x [batch, ..., channels]. */
export function checkModulation(x: ValueType, modulation: ValueType, table: ValueType, first: number): void {
  checkRank('modulation', modulation, 2);
  checkDim('modulation', modulation, 0, dimOf(x, 0));
  checkShape('table', table, [dimOf(modulation, 1)]);
  const [channels, columns] = [dimOf(x, -1), dimOf(modulation, 1)];
  check(
    typeof channels === 'number' &&
      typeof columns === 'number' &&
      first >= 0 &&
      first % channels === 0 &&
      first + channels <= columns,
    `modulation has no ${JSON.stringify(channels)} columns from ${first} on`,
  );
}
