/** Root mean square normalisation over the last axis (Zhang and Sennrich 2019). */

/** Arguments: x, weight, y, rows, rows of a task, channels, eps. */
export function rmsNorm(args: usize, task: i32, scratch: usize): void {
  const weight = load<usize>(args, 4);
  const taskRows = load<i32>(args, 16);
  const channels = load<i32>(args, 20);
  const bytes = (<usize>channels) << 2;
  const end = min((task + 1) * taskRows, load<i32>(args, 12));
  for (let row = task * taskRows; row < end; row++) {
    const x = load<usize>(args) + <usize>row * bytes;
    const mean = sumOfSquares(x, bytes) / <f64>channels;
    scaleRow(x, bytes, <f32>(1 / sqrt<f64>(mean + <f64>load<f32>(args, 24))), weight, load<usize>(args, 8) + <usize>row * bytes);
  }
}

/** In float64: T5's residuals have a few channels that are thousands of times larger than the rest. */
function sumOfSquares(x: usize, bytes: usize): f64 {
  let sum = f64x2.splat(0);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const numbers = v128.load(x + i);
    const low = f64x2.promote_low_f32x4(numbers);
    const high = f64x2.promote_low_f32x4(v128.shuffle<f32>(numbers, numbers, 2, 3, 2, 3));
    sum = f64x2.add(sum, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
  }
  let total = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  for (; i < bytes; i += 4) total += <f64>load<f32>(x + i) * <f64>load<f32>(x + i);
  return total;
}

function scaleRow(x: usize, bytes: usize, scale: f32, weight: usize, y: usize): void {
  const scales = f32x4.splat(scale);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16)
    v128.store(y + i, f32x4.mul(f32x4.mul(v128.load(x + i), scales), v128.load(weight + i)));
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) * scale * load<f32>(weight + i));
}
