/** What happens to a row of sums before it is stored: bias, time embedding, residual, activation or gating. */

import { storeLanes } from './lanes';
import { ACTIVATION, BIAS, COLUMNS, GATED, RESIDUAL, ROWS, ROW_INDEX, Y } from './matrix-args';
import { activate, gelu } from './math';

/** Address of element `index`, or 0 of an absent operand. */
// @ts-ignore: decorator
@inline
function elementOf(operand: usize, index: i32): usize {
  return operand ? operand + ((<usize>index) << 2) : 0;
}

/**
 * Finishes `count` output channels from `first` on of one pixel or token. If gated, `first` is a multiple of 8.
 * @param sums this row's sums, 16 bytes beyond `count` readable.
 * @param row which row of the output, and `image` of the batch it is in.
 */
export function finishRow(args: usize, sums: usize, row: i32, image: i32, first: i32, count: i32): void {
  const columns = load<i32>(args, COLUMNS);
  const place = row * columns + first;
  const y = load<usize>(args, Y) + ((<usize>place) << 2);
  const bias = elementOf(load<usize>(args, BIAS), first);
  if (load<i32>(args, GATED)) {
    finishGatedRow(sums, y, bias, columns, count);
    return;
  }
  const activation = load<i32>(args, ACTIVATION);
  const residual = elementOf(load<usize>(args, RESIDUAL), place);
  const rowIndex = load<usize>(args, ROW_INDEX);
  const vector = rowIndex ? load<i32>(rowIndex + ((<usize>image) << 2)) : image;
  const rows = elementOf(load<usize>(args, ROWS), vector * columns + first);
  for (let n = 0; n < count; n += 4) {
    const at = (<usize>n) << 2;
    let sum = v128.load(sums + at);
    if (bias) sum = f32x4.add(sum, v128.load(bias + at));
    if (rows) sum = f32x4.add(sum, v128.load(rows + at));
    if (residual) sum = f32x4.add(sum, v128.load(residual + at));
    if (activation) sum = activate(activation, sum);
    storeLanes(y + at, sum, count - n);
  }
}

function finishGatedRow(sums: usize, y: usize, bias: usize, columns: i32, count: i32): void {
  const gates = (<usize>columns) << 2;
  for (let n = 0; n < count; n += 4) {
    const at = (<usize>n) << 2;
    // Behind every 8 values are their 8 gates.
    const from = sums + at + ((<usize>(n & ~7)) << 2);
    let value = v128.load(from);
    let gate = v128.load(from, 32);
    if (bias) {
      value = f32x4.add(value, v128.load(bias + at));
      gate = f32x4.add(gate, v128.load(bias + at + gates));
    }
    storeLanes(y + at, f32x4.mul(value, gelu(gate)), count - n);
  }
}
