/**
 * What a network is fed at a step: a linear combination of the state's slots, repeated for guidance.
 * Arguments: state, coefficients, row, y, slots, copies, images, elements an image, rows and columns of the
 * coefficients. A task does one image of one copy.
 */

import { inputColumn, rowOf, weighted } from "./lib/coefficients";

export function modelInput(args: usize, task: i32, scratch: usize): void {
  const slots = load<i32>(args, 16);
  const images = load<i32>(args, 24);
  const elements = load<i32>(args, 28);
  const image = task % images;
  const bytes = (<usize>elements) << 2;
  const row = rowOf(load<usize>(args, 4), load<usize>(args, 8), image, load<i32>(args, 32), load<i32>(args, 36));
  const state = load<usize>(args) + <usize>image * bytes;
  const y = load<usize>(args, 12) + <usize>task * bytes;
  for (let i: usize = 0; i < bytes; i += 4)
    store<f32>(y + i, weighted(row, inputColumn(), state + i, <usize>images * bytes, slots));
}
