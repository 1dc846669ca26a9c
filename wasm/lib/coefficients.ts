/** The coefficient table of src/schedulers/coefficients.ts: where each part of a row begins, for some state slots. */

export const GUIDANCE_SCALE: usize = 0;
export const GUIDANCE_RESCALE: usize = 4;
/** First column of the network's input; one a slot. */
const INPUT: i32 = 2;

/** Address of an image's row of the table. */
export function rowOf(table: usize, index: usize, image: i32, rows: i32, columns: i32): usize {
  const row = load<i32>(index + ((<usize>image) << 2));
  return table + ((<usize>(min(max(row, 0), rows - 1) * columns)) << 2);
}

/** Sum over slots j of coefficient[column + j] * state[j], the slots `stride` bytes apart. */
export function weighted(row: usize, column: i32, state: usize, stride: usize, slots: i32): f32 {
  let sum: f32 = 0;
  for (let j = 0; j < slots; j++) sum += at(row, column + j) * load<f32>(state + <usize>j * stride);
  return sum;
}

/** The coefficient in a column of a row. */
export function at(row: usize, column: i32): f32 {
  return load<f32>(row + ((<usize>column) << 2));
}

export function inputColumn(): i32 {
  return INPUT;
}

export function x0StateColumn(slots: i32): i32 {
  return INPUT + slots;
}

export function x0OutputColumn(slots: i32): i32 {
  return x0StateColumn(slots) + slots;
}

export function clipColumn(slots: i32): i32 {
  return x0OutputColumn(slots) + 1;
}

export function nextStateColumn(slots: i32): i32 {
  return clipColumn(slots) + 1;
}

export function nextOutputColumn(slots: i32): i32 {
  return nextStateColumn(slots) + slots * slots;
}

export function nextX0Column(slots: i32): i32 {
  return nextOutputColumn(slots) + slots;
}

export function nextNoiseColumn(slots: i32): i32 {
  return nextX0Column(slots) + slots;
}
