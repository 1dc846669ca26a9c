/**
 * y = x + scale[image, column] * addend, for rows of channels; y may take the place of x.
 * Arguments: x, addend, y, scale, rows, chunk, channels, rows an image, rows that share a row of the addend, columns,
 * column. A task does `chunk` rows.
 */
export function addScaled(args: usize, task: i32, scratch: usize): void {
  const chunk = load<i32>(args, 20);
  const bytes = (<usize>load<i32>(args, 24)) << 2;
  const imageRows = load<i32>(args, 28);
  const addendRows = load<i32>(args, 32);
  const end = min((task + 1) * chunk, load<i32>(args, 16));
  for (let row = task * chunk; row < end; row++) {
    const at = row / imageRows * load<i32>(args, 36) + load<i32>(args, 40);
    const weight = load<f32>(load<usize>(args, 12) + ((<usize>at) << 2));
    const weights = f32x4.splat(weight);
    const x = load<usize>(args) + <usize>row * bytes;
    const addend = load<usize>(args, 4) + <usize>(row / addendRows) * bytes;
    const y = load<usize>(args, 8) + <usize>row * bytes;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      v128.store(y + i, f32x4.add(v128.load(x + i), f32x4.mul(weights, v128.load(addend + i))));
    for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) + weight * load<f32>(addend + i));
  }
}
