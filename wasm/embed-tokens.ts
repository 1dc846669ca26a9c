/**
 * Token embedding, plus position embedding where there is one; both tables stay in their stored types.
 * Arguments: ids, table, positions (or 0), y, tokens a sequence, channels, rows of the table, type of the table, type of the
 * positions. A task does one token.
 */

import { load1, load4, shiftOf } from "./lib/weight-type";

export function embedTokens(args: usize, task: i32, scratch: usize): void {
  const channels = load<i32>(args, 20);
  const id = load<i32>(load<usize>(args) + ((<usize>task) << 2));
  const row = min(max(id, 0), load<i32>(args, 24) - 1);
  const y = load<usize>(args, 12) + ((<usize>(task * channels)) << 2);
  memory.fill(y, 0, (<usize>channels) << 2);
  addRow(load<usize>(args, 4), load<i32>(args, 28), row, channels, y);
  const positions = load<usize>(args, 8);
  if (positions != 0) addRow(positions, load<i32>(args, 32), task % load<i32>(args, 16), channels, y);
}

/** y += a row of a table of some type. */
function addRow(table: usize, type: i32, row: i32, channels: i32, y: usize): void {
  const shift = shiftOf(type);
  const from = table + ((<usize>(row * channels)) << shift);
  let c = 0;
  for (; c + 4 <= channels; c += 4) {
    const to = y + ((<usize>c) << 2);
    v128.store(to, f32x4.add(v128.load(to), load4(from + ((<usize>c) << shift), type)));
  }
  for (; c < channels; c++) {
    const to = y + ((<usize>c) << 2);
    store<f32>(to, load<f32>(to) + load1(from + ((<usize>c) << shift), type));
  }
}
