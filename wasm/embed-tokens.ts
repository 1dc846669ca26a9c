/**
 * Token embedding plus position embedding; both tables stay in their stored types.
 * Arguments: ids, table, positions, y, tokens a sequence, channels, rows of the table, type of the table, type of the
 * positions. A task does one token.
 */

import { load1, load4, shiftOf } from "./lib/weight-type";

export function embedTokens(args: usize, task: i32, scratch: usize): void {
  const channels = load<i32>(args, 20);
  const tableType = load<i32>(args, 28);
  const positionType = load<i32>(args, 32);
  const id = load<i32>(load<usize>(args) + ((<usize>task) << 2));
  const row = min(max(id, 0), load<i32>(args, 24) - 1);
  const token = load<usize>(args, 4) + ((<usize>(row * channels)) << shiftOf(tableType));
  const place = (task % load<i32>(args, 16)) * channels;
  const position = load<usize>(args, 8) + ((<usize>place) << shiftOf(positionType));
  const y = load<usize>(args, 12) + ((<usize>(task * channels)) << 2);
  let c = 0;
  for (; c + 4 <= channels; c += 4) {
    const a = load4(token + ((<usize>c) << shiftOf(tableType)), tableType);
    const b = load4(position + ((<usize>c) << shiftOf(positionType)), positionType);
    v128.store(y + ((<usize>c) << 2), f32x4.add(a, b));
  }
  for (; c < channels; c++) {
    const a = load1(token + ((<usize>c) << shiftOf(tableType)), tableType);
    const b = load1(position + ((<usize>c) << shiftOf(positionType)), positionType);
    store<f32>(y + ((<usize>c) << 2), a + b);
  }
}
