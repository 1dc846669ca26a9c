/** @file Vectors at the ends of rows, whose last lanes are not to be written. */

/** Stores the first `count` (1 to 4) lanes. */
export function storeLanes(to: usize, x: v128, count: i32): void {
  if (count == 4) {
    v128.store(to, x);
    return;
  }
  v128.store_lane<f32>(to, x, 0);
  if (count > 1) v128.store_lane<f32>(to, x, 1, 4);
  if (count > 2) v128.store_lane<f32>(to, x, 2, 8);
}
