/**
 * Copies rows of one stride to rows of another: concatenations and ranges of channels.
 * Arguments: from, to, rows, chunk, bytes a row, stride of `from`, stride of `to`. A task does `chunk` rows.
 */
export function copyRows(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const bytes = load<usize>(args, 16);
  const fromStride = load<usize>(args, 20);
  const toStride = load<usize>(args, 24);
  const end = min((task + 1) * chunk, load<i32>(args, 8));
  let from = load<usize>(args) + <usize>(task * chunk) * fromStride;
  let to = load<usize>(args, 4) + <usize>(task * chunk) * toStride;
  for (let row = task * chunk; row < end; row++) {
    memory.copy(to, from, bytes);
    from += fromStride;
    to += toStride;
  }
}
