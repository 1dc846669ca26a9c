/**
 * y = x + (modulation[image, channel] + table[channel]) * addend, for rows of channels; y may take the place of x.
 * Arguments: x, addend, y, modulation and table, both from the gate's first column on, rows, chunk, channels, rows an image,
 * columns of the modulation. A task does `chunk` rows.
 */

import { madd } from './lib/math';

export function addGated(args: usize, task: i32, scratch: usize): void {
  const table = load<usize>(args, 16);
  const chunk = load<i32>(args, 24);
  const bytes = (<usize>load<i32>(args, 28)) << 2;
  const imageRows = load<i32>(args, 32);
  const end = min((task + 1) * chunk, load<i32>(args, 20));
  for (let row = task * chunk; row < end; row++) {
    const x = load<usize>(args) + <usize>row * bytes;
    const addend = load<usize>(args, 4) + <usize>row * bytes;
    const y = load<usize>(args, 8) + <usize>row * bytes;
    const at = <usize>(row / imageRows * load<i32>(args, 36)) << 2;
    const modulation = load<usize>(args, 12) + at;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const gate = f32x4.add(v128.load(modulation + i), v128.load(table + i));
      v128.store(y + i, madd(gate, v128.load(addend + i), v128.load(x + i)));
    }
    for (; i < bytes; i += 4) {
      const gate = load<f32>(modulation + i) + load<f32>(table + i);
      store<f32>(y + i, load<f32>(x + i) + gate * load<f32>(addend + i));
    }
  }
}
