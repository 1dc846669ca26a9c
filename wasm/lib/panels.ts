/** Panels: how rows and columns are laid out for the loops of micro-kernel.ts, and products of such panels. */

import { multiply4x8, multiply6x8 } from './micro-kernel';

/**
 * Of how many panels of 4 rows `rows` rows are made, the others having 6, so that as few rows as possible are too many.
 */
export function foursOf(rows: i32): i32 {
  const over = rows % 6;
  if (over == 0 || over == 5) return 0;
  return over >= 3 || rows < 6 ? 1 : 2;
}

/** Rows of the panels that hold `rows` rows. */
export function paddedRows(rows: i32): i32 {
  const fours = foursOf(rows) * 4;
  const rest = rows - fours;
  return fours + (rest > 0 ? ((rest + 5) / 6) * 6 : 0);
}

/** Address of step 0 of row `row`, in panels of 6 and then `fours` of 4, of `depth` steps. */
export function rowAddress(panels: usize, row: i32, sixRows: i32, depth: i32): usize {
  const inSixes = row < sixRows;
  const panel = inSixes ? row / 6 : (row - sixRows) >> 2;
  const lane = inSixes ? row - panel * 6 : (row - sixRows) & 3;
  const before = inSixes ? panel * 6 : sixRows + panel * 4;
  return panels + ((<usize>(before * depth)) << 2) + ((<usize>lane) << 4);
}

/**
 * Multiplies `depth` steps, from step `from` on, of row panels of `rowDepth` steps by a column panel of just these steps.
 * @param stride bytes between rows of sums.
 */
export function multiplyPanels(
  rows: usize,
  padded: i32,
  sixRows: i32,
  rowDepth: i32,
  from: i32,
  column: usize,
  sums: usize,
  depth: i32,
  stride: usize,
  accumulate: bool,
): void {
  const groups = depth >> 2;
  const rowBytes = (<usize>rowDepth) << 2;
  const offset = (<usize>from) << 2;
  let row = 0;
  for (; row < sixRows; row += 6) {
    multiply6x8(rows + offset * 6, 16, 96, column, sums, groups, stride, accumulate);
    rows += rowBytes * 6;
    sums += stride * 6;
  }
  for (; row < padded; row += 4) {
    multiply4x8(rows + offset * 4, 16, 64, column, sums, groups, stride, accumulate);
    rows += rowBytes * 4;
    sums += stride * 4;
  }
}
