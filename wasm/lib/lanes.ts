/** @file Vectors at the ends of rows, whose last lanes are not to be written. */

/** Stores the first `count` lanes, all from 4 on. */
// @ts-ignore: decorator
@inline
export function storeLanes(to: usize, value: v128, count: i32): void {
  if (count >= 4) {
    v128.store(to, value);
    return;
  }
  if (count & 2) {
    v128.store64_lane(to, value, 0);
    if (count & 1) v128.store32_lane(to, value, 2, 8);
  } else if (count & 1) v128.store32_lane(to, value, 0);
}
