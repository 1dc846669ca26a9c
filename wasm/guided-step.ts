/**
 * One scheduler step, with or without classifier-free guidance in front; the output may take the state's place.
 * Arguments: state, output, factor (or 0), noise (or 0), coefficients, row, y, slots, images, elements an image, rows and
 * columns of the coefficients, 1 if guided. A task does one image.
 */

import {
  at,
  clipColumn,
  GUIDANCE_SCALE,
  nextNoiseColumn,
  nextOutputColumn,
  nextStateColumn,
  nextX0Column,
  rowOf,
  weighted,
  x0OutputColumn,
  x0StateColumn,
} from "./lib/coefficients";

export function guidedStep(args: usize, task: i32, scratch: usize): void {
  const slots = load<i32>(args, 28);
  const images = load<i32>(args, 32);
  const bytes = (<usize>load<i32>(args, 36)) << 2;
  const row = rowOf(load<usize>(args, 16), load<usize>(args, 20), task, load<i32>(args, 40), load<i32>(args, 44));
  const guided = load<i32>(args, 48) == 1;
  const scale = load<f32>(row, GUIDANCE_SCALE);
  const factors = load<usize>(args, 8);
  const factor: f32 = factors == 0 ? 1 : load<f32>(factors + ((<usize>task) << 2));
  const first = <usize>task * bytes;
  const stride = <usize>images * bytes;
  const state = load<usize>(args) + first;
  const output = load<usize>(args, 4) + first;
  const noise = load<usize>(args, 12);
  const y = load<usize>(args, 24) + first;
  const clip = at(row, clipColumn(slots));
  for (let i: usize = 0; i < bytes; i += 4) {
    // All slots are read before one is written.
    for (let j = 0; j < slots; j++)
      store<f32>(scratch + ((<usize>j) << 2), load<f32>(state + <usize>j * stride + i));
    let value = load<f32>(output + i);
    if (guided) value = factor * (value + scale * (load<f32>(output + stride + i) - value));
    const denoised =
      weighted(row, x0StateColumn(slots), scratch, 4, slots) + at(row, x0OutputColumn(slots)) * value;
    const x0 = min(max(denoised, -clip), clip);
    for (let k = 0; k < slots; k++) {
      let next =
        weighted(row, nextStateColumn(slots) + k * slots, scratch, 4, slots) +
        at(row, nextOutputColumn(slots) + k) * value +
        at(row, nextX0Column(slots) + k) * x0;
      if (noise != 0) next += at(row, nextNoiseColumn(slots) + k) * load<f32>(noise + first + i);
      store<f32>(y + <usize>k * stride + i, next);
    }
  }
}
