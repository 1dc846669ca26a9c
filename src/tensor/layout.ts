/** @file Moves images between torch's NCHW order, which users and random numbers see, and the engine's NHWC. */

/** [batch, channels, height, width] of one image stack. */
export type ImageShape = readonly [batch: number, channels: number, height: number, width: number];

/** NCHW data as NHWC. */
export function toNhwc(data: Float32Array, [batch, channels, height, width]: ImageShape): Float32Array {
  const pixels = height * width;
  const out = new Float32Array(data.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const source = (n * channels + c) * pixels;
      for (let p = 0; p < pixels; p++) out[(n * pixels + p) * channels + c] = data[source + p]!;
    }
  return out;
}

/** NHWC data as NCHW; `shape` is given in NCHW order too. */
export function toNchw(data: Float32Array, [batch, channels, height, width]: ImageShape): Float32Array {
  const pixels = height * width;
  const out = new Float32Array(data.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const target = (n * channels + c) * pixels;
      for (let p = 0; p < pixels; p++) out[target + p] = data[(n * pixels + p) * channels + c]!;
    }
  return out;
}
