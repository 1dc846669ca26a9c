/**
 * The element-wise ops that no pass could fuse. Outputs may take an input's place: an element is read before it is
 * written, by the same task. A task does `chunk` elements, or `chunk` rows of channels.
 */

import { activate } from "./lib/math";

/** y = a + b. Arguments: a, b, y, count, chunk. */
export function add(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 16);
  const first = (<usize>(task * chunk)) << 2;
  const a = load<usize>(args) + first;
  const b = load<usize>(args, 4) + first;
  const y = load<usize>(args, 8) + first;
  const bytes = (<usize>min(chunk, load<i32>(args, 12) - task * chunk)) << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
}

/** y = a * b. Arguments as `add`. */
export function multiply(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 16);
  const first = (<usize>(task * chunk)) << 2;
  const a = load<usize>(args) + first;
  const b = load<usize>(args, 4) + first;
  const y = load<usize>(args, 8) + first;
  const bytes = (<usize>min(chunk, load<i32>(args, 12) - task * chunk)) << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(a + i) * load<f32>(b + i));
}

/** y = x * scale + shift. Arguments: x, y, count, chunk, scale, shift. */
export function affine(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const first = (<usize>(task * chunk)) << 2;
  const x = load<usize>(args) + first;
  const y = load<usize>(args, 4) + first;
  const bytes = (<usize>min(chunk, load<i32>(args, 8) - task * chunk)) << 2;
  const scale = load<f32>(args, 16);
  const shift = load<f32>(args, 20);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16)
    v128.store(
      y + i,
      f32x4.add(f32x4.mul(v128.load(x + i), f32x4.splat(scale)), f32x4.splat(shift)),
    );
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) * scale + shift);
}

/** y = activation(x). Arguments: x, y, count, chunk, kind (lib/math). */
export function activateElements(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const kind = load<i32>(args, 16);
  const first = (<usize>(task * chunk)) << 2;
  const x = load<usize>(args) + first;
  const y = load<usize>(args, 4) + first;
  const bytes = (<usize>min(chunk, load<i32>(args, 8) - task * chunk)) << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, activate(kind, v128.load(x + i)));
  for (; i < bytes; i += 4)
    store<f32>(y + i, f32x4.extract_lane(activate(kind, v128.load32_splat(x + i)), 0));
}

/**
 * y = x + table[row of the image], for rows of channels.
 * Arguments: x, y, table, index (or 0: an image takes the row of its own number), rows, chunk, channels, rows an image,
 * rows of the table.
 */
export function addVectors(args: usize, task: i32, scratch: usize): void {
  const index = load<usize>(args, 12);
  const chunk = load<i32>(args, 20);
  const bytes = (<usize>load<i32>(args, 24)) << 2;
  const imageRows = load<i32>(args, 28);
  const last = load<i32>(args, 32) - 1;
  const end = min((task + 1) * chunk, load<i32>(args, 16));
  for (let row = task * chunk; row < end; row++) {
    const image = row / imageRows;
    const entry = index == 0 ? image : load<i32>(index + ((<usize>image) << 2));
    const vector = load<usize>(args, 8) + <usize>min(max(entry, 0), last) * bytes;
    const x = load<usize>(args) + <usize>row * bytes;
    const y = load<usize>(args, 4) + <usize>row * bytes;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      v128.store(y + i, f32x4.add(v128.load(x + i), v128.load(vector + i)));
    for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) + load<f32>(vector + i));
  }
}
