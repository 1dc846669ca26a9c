/**
 * Sinusoidal timestep embedding: half sines, half cosines of t * frequency, the angle rounded to f32 as in torch.
 * Arguments: t, frequencies, y, half of the channels, 1 if the cosines come first. A task does one number of t.
 */
export function timestepEmbedding(args: usize, task: i32, scratch: usize): void {
  const half = load<i32>(args, 12);
  const cosinesFirst = load<i32>(args, 16);
  const t = load<f32>(load<usize>(args) + ((<usize>task) << 2));
  const frequencies = load<usize>(args, 4);
  const y = load<usize>(args, 8) + ((<usize>(2 * task * half)) << 2);
  for (let i = 0; i < half; i++) {
    const angle = <f64>(t * load<f32>(frequencies + ((<usize>i) << 2)));
    const sine = i + (cosinesFirst == 1 ? half : 0);
    const cosine = i + (cosinesFirst == 1 ? 0 : half);
    store<f32>(y + ((<usize>sine) << 2), <f32>Math.sin(angle));
    store<f32>(y + ((<usize>cosine) << 2), <f32>Math.cos(angle));
  }
}
