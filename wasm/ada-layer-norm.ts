/**
 * Layer normalisation that is scaled and shifted by the image's row of modulation: what layer-norm.ts writes, times 1 plus
 * the scale, plus the shift. A second pass over a row that is in the innermost cache.
 */

import { normalize } from './layer-norm';
import { madd } from './lib/math';

/**
 * Arguments: x, modulation and table from the shift's first column on, y, rows, rows of a task, channels, eps, rows an image,
 * columns of the modulation, bytes from shift to scale.
 */
export function adaLayerNorm(args: usize, task: i32, scratch: usize): void {
  const table = load<usize>(args, 8);
  const taskRows = load<i32>(args, 20);
  const channels = load<i32>(args, 24);
  const bytes = (<usize>channels) << 2;
  const toScale = <usize>load<isize>(args, 40);
  const end = min((task + 1) * taskRows, load<i32>(args, 16));
  for (let row = task * taskRows; row < end; row++) {
    const y = load<usize>(args, 12) + <usize>row * bytes;
    normalize(load<usize>(args) + <usize>row * bytes, channels, load<f32>(args, 28), 0, 0, y, scratch);
    const at = <usize>(row / load<i32>(args, 32) * load<i32>(args, 36)) << 2;
    modulate(y, bytes, load<usize>(args, 4) + at, table, toScale);
  }
}

/** y = y * (1 + scale) + shift; both are sums of modulation and table. */
function modulate(y: usize, bytes: usize, modulation: usize, table: usize, toScale: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const shift = f32x4.add(v128.load(modulation + i), v128.load(table + i));
    const scale = f32x4.add(v128.load(modulation + toScale + i), v128.load(table + toScale + i));
    const value = v128.load(y + i);
    v128.store(y + i, madd(value, scale, f32x4.add(value, shift)));
  }
  for (; i < bytes; i += 4) {
    const shift = load<f32>(modulation + i) + load<f32>(table + i);
    const scale = load<f32>(modulation + toScale + i) + load<f32>(table + toScale + i);
    store<f32>(y + i, load<f32>(y + i) * (1 + scale) + shift);
  }
}
