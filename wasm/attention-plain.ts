/**
 * Scaled dot-product attention with an online softmax, one number at a time: for heads of any size. Models in use have heads
 * of 8 channels or a multiple, which attention.ts does many times faster; small ones for tests may have a single channel.
 */

import { exp2OfNegative } from './lib/math';

/** Argument slots, with those of attention.ts up to its masks. */
const Q: usize = 0;
const K: usize = 4;
const V: usize = 8;
const Y: usize = 12;
const QUERIES: usize = 16;
const KEYS: usize = 20;
const HEADS: usize = 24;
const HEAD_DIM: usize = 28;
const Q_CHANNELS: usize = 32;
const K_CHANNELS: usize = 36;
const V_CHANNELS: usize = 40;
/** The scores' factor times log2(e). */
const SCALE: usize = 44;
const CAUSAL: usize = 48;
const BIAS: usize = 52;
const BIAS_IMAGE: usize = 56;
const BIAS_KEY: usize = 60;
const BIAS_QUERY: usize = 64;
const BIAS_HEAD: usize = 68;

/** All queries of one head of one image. */
export function attentionPlain(args: usize, task: i32, _scratch: usize): void {
  const queries = load<i32>(args, QUERIES);
  const keys = load<i32>(args, KEYS);
  const heads = load<i32>(args, HEADS);
  const depth = load<i32>(args, HEAD_DIM);
  const causal = load<i32>(args, CAUSAL);
  const image = task / heads;
  const head = task - image * heads;
  const qStride = (<usize>load<i32>(args, Q_CHANNELS)) << 2;
  const kStride = (<usize>load<i32>(args, K_CHANNELS)) << 2;
  const vStride = (<usize>load<i32>(args, V_CHANNELS)) << 2;
  const yStride = (<usize>(heads * depth)) << 2;
  const toHead = (<usize>(head * depth)) << 2;
  const k = load<usize>(args, K) + <usize>(image * keys) * kStride + toHead;
  const v = load<usize>(args, V) + <usize>(image * keys) * vStride + toHead;
  const bias = load<usize>(args, BIAS);
  const biasOf = image * load<i32>(args, BIAS_IMAGE) + head * load<i32>(args, BIAS_HEAD);
  const log2e: f32 = 1.4426950408889634;
  for (let query = 0; query < queries; query++) {
    const q = load<usize>(args, Q) + <usize>(image * queries + query) * qStride + toHead;
    const y = load<usize>(args, Y) + <usize>(image * queries + query) * yStride + toHead;
    memory.fill(y, 0, (<usize>depth) << 2);
    let largest: f32 = -Infinity;
    let total: f32 = 0;
    const seen = causal ? min(keys, query + 1) : keys;
    for (let key = 0; key < seen; key++) {
      let score = dot(q, k + <usize>key * kStride, depth) * load<f32>(args, SCALE);
      if (bias != 0) {
        const at = biasOf + key * load<i32>(args, BIAS_KEY) + query * load<i32>(args, BIAS_QUERY);
        score += load<f32>(bias + ((<usize>at) << 2)) * log2e;
      }
      const highest = max(largest, score);
      const factor = powerOfTwo(largest - highest);
      const weight = powerOfTwo(score - highest);
      largest = highest;
      total = total * factor + weight;
      accumulate(y, factor, v + <usize>key * vStride, weight, depth);
    }
    for (let d = 0; d < depth; d++) {
      const at = y + ((<usize>d) << 2);
      store<f32>(at, load<f32>(at) / total);
    }
  }
}

function dot(a: usize, b: usize, count: i32): f32 {
  let sum: f32 = 0;
  for (let i = 0; i < count; i++, a += 4, b += 4) sum += load<f32>(a) * load<f32>(b);
  return sum;
}

/** y = y * factor + x * weight */
function accumulate(y: usize, factor: f32, x: usize, weight: f32, count: i32): void {
  for (let i = 0; i < count; i++, y += 4, x += 4)
    store<f32>(y, load<f32>(y) * factor + load<f32>(x) * weight);
}

function powerOfTwo(x: f32): f32 {
  return f32x4.extract_lane(exp2OfNegative(f32x4.splat(x)), 0);
}
