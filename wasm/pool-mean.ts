/**
 * Mean over positions, channel by channel. Arguments: x, y, positions of an image, channels. A task does an image, row by
 * row, and keeps the sums in y.
 */
export function poolMean(args: usize, task: i32, scratch: usize): void {
  const positions = load<i32>(args, 8);
  const bytes = (<usize>load<i32>(args, 12)) << 2;
  const x = load<usize>(args) + <usize>(task * positions) * bytes;
  const y = load<usize>(args, 4) + <usize>task * bytes;
  memory.fill(y, 0, bytes);
  for (let row = 0; row < positions; row++) {
    const source = x + <usize>row * bytes;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      v128.store(y + i, f32x4.add(v128.load(y + i), v128.load(source + i)));
    for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(y + i) + load<f32>(source + i));
  }
  const factor = <f32>1 / <f32>positions;
  for (let i: usize = 0; i < bytes; i += 4) store<f32>(y + i, load<f32>(y + i) * factor);
}
