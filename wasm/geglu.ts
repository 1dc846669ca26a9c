/**
 * Gated GELU that could not be fused into a linear layer: the first half of the channels times gelu of the second.
 * Arguments: x, y, rows, chunk, channels of y. A task does `chunk` rows.
 */

import { gelu } from "./lib/math";

export function geglu(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 12);
  const bytes = (<usize>load<i32>(args, 16)) << 2;
  const end = min((task + 1) * chunk, load<i32>(args, 8));
  for (let row = task * chunk; row < end; row++) {
    const x = load<usize>(args) + 2 * <usize>row * bytes;
    const y = load<usize>(args, 4) + <usize>row * bytes;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      v128.store(y + i, f32x4.mul(v128.load(x + i), gelu(v128.load(x + bytes + i))));
    for (; i < bytes; i += 4) {
      const gate = f32x4.extract_lane(gelu(v128.load32_splat(x + bytes + i)), 0);
      store<f32>(y + i, load<f32>(x + i) * gate);
    }
  }
}
