/**
 * Rows picked by index: of a table that all share, or of each batch row's own tokens.
 * Arguments: x, index, y, bytes a row, rows to choose from, rows from one batch row's first to the next's (0 if all
 * share a table). A task picks one row.
 */
export function gatherRows(args: usize, task: i32, scratch: usize): void {
  const bytes = load<usize>(args, 12);
  const index = load<i32>(load<usize>(args, 4) + ((<usize>task) << 2));
  const row = min(max(index, 0), load<i32>(args, 16) - 1) + task * load<i32>(args, 20);
  memory.copy(load<usize>(args, 8) + <usize>task * bytes, load<usize>(args) + <usize>row * bytes, bytes);
}
