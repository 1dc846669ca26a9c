/** Classifier-free guidance by itself, and the factors of its rescale. The unconditional images come first. */

import { GUIDANCE_RESCALE, GUIDANCE_SCALE, rowOf } from "./lib/coefficients";

/**
 * y = factor * (uncond + scale * (cond - uncond)).
 * Arguments: output, coefficients, row, factor (or 0), y, images, elements an image, rows and columns of the
 * coefficients. A task does one image.
 */
export function guidance(args: usize, task: i32, scratch: usize): void {
  const images = load<i32>(args, 20);
  const bytes = (<usize>load<i32>(args, 24)) << 2;
  const row = rowOf(load<usize>(args, 4), load<usize>(args, 8), task, load<i32>(args, 28), load<i32>(args, 32));
  const scale = load<f32>(row, GUIDANCE_SCALE);
  const factors = load<usize>(args, 12);
  const factor: f32 = factors == 0 ? 1 : load<f32>(factors + ((<usize>task) << 2));
  const uncond = load<usize>(args) + <usize>task * bytes;
  const cond = uncond + <usize>images * bytes;
  const y = load<usize>(args, 16) + <usize>task * bytes;
  for (let i: usize = 0; i < bytes; i += 4) {
    const u = load<f32>(uncond + i);
    store<f32>(y + i, factor * (u + scale * (load<f32>(cond + i) - u)));
  }
}

/**
 * rescale * std(cond) / std(guided) + 1 - rescale, unbiased deviations: the means first, then the squares about them.
 * Arguments: output, coefficients, row, y, images, elements an image, rows and columns of the coefficients. A task does
 * one image.
 */
export function guidanceFactor(args: usize, task: i32, scratch: usize): void {
  const images = load<i32>(args, 16);
  const bytes = (<usize>load<i32>(args, 20)) << 2;
  const row = rowOf(load<usize>(args, 4), load<usize>(args, 8), task, load<i32>(args, 24), load<i32>(args, 28));
  const scale = <f64>load<f32>(row, GUIDANCE_SCALE);
  const rescale = <f64>load<f32>(row, GUIDANCE_RESCALE);
  const uncond = load<usize>(args) + <usize>task * bytes;
  const cond = uncond + <usize>images * bytes;
  const count = <f64>load<i32>(args, 20);
  let condSum: f64 = 0;
  let guidedSum: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) {
    const u = <f64>load<f32>(uncond + i);
    const c = <f64>load<f32>(cond + i);
    condSum += c;
    guidedSum += u + scale * (c - u);
  }
  let condSquares: f64 = 0;
  let guidedSquares: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) {
    const u = <f64>load<f32>(uncond + i);
    const c = <f64>load<f32>(cond + i);
    const condDifference = c - condSum / count;
    const guidedDifference = u + scale * (c - u) - guidedSum / count;
    condSquares += condDifference * condDifference;
    guidedSquares += guidedDifference * guidedDifference;
  }
  const factor = rescale * sqrt<f64>(condSquares / guidedSquares) + 1 - rescale;
  store<f32>(load<usize>(args, 12) + ((<usize>task) << 2), <f32>factor);
}
