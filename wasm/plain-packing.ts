/** Weights that need no packing: moved as they are stored, or widened to f32. A task does `chunk` bytes or elements. */

import { load1, load4, shiftOf } from "./lib/weight-type";

/** Arguments: source, target, bytes, chunk. */
export function copyBytes(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const first = task * chunk;
  const length = min(chunk, load<i32>(args, 8) - first);
  memory.copy(load<usize>(args, 4) + first, load<usize>(args) + first, length);
}

/** Arguments: source, target, elements, chunk, type. */
export function widen(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const type = load<i32>(args, 16);
  const shift = shiftOf(type);
  const end = min((task + 1) * chunk, load<i32>(args, 8));
  const source = load<usize>(args);
  const target = load<usize>(args, 4);
  let i = task * chunk;
  for (; i + 4 <= end; i += 4)
    v128.store(target + ((<usize>i) << 2), load4(source + ((<usize>i) << shift), type));
  for (; i < end; i++)
    store<f32>(target + ((<usize>i) << 2), load1(source + ((<usize>i) << shift), type));
}
