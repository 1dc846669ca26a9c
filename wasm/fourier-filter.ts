/**
 * x + change * (what of x has the frequencies 0 and -1 of rows and columns): seven real waves, 1, and cosine and sine of the
 * row's angle, of the column's, and of their sum. Arguments: x, y, height, width, channels, pairs of cosine and sine of the
 * rows and of the columns, change divided by the number of pixels. A task does one channel of an image.
 */
export function fourierFilter(args: usize, task: i32, scratch: usize): void {
  const height = load<i32>(args, 8);
  const width = load<i32>(args, 12);
  const channels = load<i32>(args, 16);
  const rows = load<usize>(args, 20);
  const columns = load<usize>(args, 24);
  const change = load<f32>(args, 28);
  const step = (<usize>channels) << 2;
  const image = task / channels;
  const first = ((<usize>(image * height * width * channels + task % channels)) << 2);
  let source = load<usize>(args) + first;
  // The sums by row, then along the rows: what the sum's waves need follows from products of both.
  let s1: f64 = 0, ca: f64 = 0, sa: f64 = 0, cb: f64 = 0, sb: f64 = 0, cab: f64 = 0, sab: f64 = 0;
  for (let h = 0; h < height; h++) {
    let one: f64 = 0, cosine: f64 = 0, sine: f64 = 0;
    for (let w = 0; w < width; w++) {
      const value = <f64>load<f32>(source);
      one += value;
      cosine += value * <f64>load<f32>(columns + ((<usize>w) << 3));
      sine += value * <f64>load<f32>(columns + ((<usize>w) << 3), 4);
      source += step;
    }
    const a = <f64>load<f32>(rows + ((<usize>h) << 3));
    const b = <f64>load<f32>(rows + ((<usize>h) << 3), 4);
    s1 += one;
    ca += a * one;
    sa += b * one;
    cb += cosine;
    sb += sine;
    cab += a * cosine - b * sine;
    sab += b * cosine + a * sine;
  }
  source = load<usize>(args) + first;
  let target = load<usize>(args, 4) + first;
  for (let h = 0; h < height; h++) {
    const a = <f64>load<f32>(rows + ((<usize>h) << 3));
    const b = <f64>load<f32>(rows + ((<usize>h) << 3), 4);
    const one = s1 + a * ca + b * sa;
    const cosine = cb + a * cab + b * sab;
    const sine = sb + a * sab - b * cab;
    for (let w = 0; w < width; w++) {
      const c = <f64>load<f32>(columns + ((<usize>w) << 3));
      const s = <f64>load<f32>(columns + ((<usize>w) << 3), 4);
      const share = one + c * cosine + s * sine;
      store<f32>(target, <f32>(<f64>load<f32>(source) + <f64>change * share));
      source += step;
      target += step;
    }
  }
}
