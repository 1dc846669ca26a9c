/**
 * Scaled dot-product attention with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022).
 *
 * A task does a block of queries of one head of one image. Queries are packed in panels of 24, [depth][24], and the
 * block goes along the keys in blocks: transposed scores [keys][24] of one panel, so that the softmax's maxima and sums
 * need no work across lanes; then the panel's weighted sums of values [24][depth]. Both products read keys and values
 * where they are, without packing them, and keep 6 x 8 sums in registers: 24 queries are 3 times 8 columns of scores,
 * and 4 times 6 rows of sums.
 *
 * GFLOP/s at 1024 tokens, head of 48, relaxed-simd (simd128), on 2 hyper-threads of one EPYC core that others used too,
 * where the micro-kernel of a matrix product alone ran at 49 (25):
 * - panels of 12, scores in blocks of 4 x 12, which is one register too many: 18 (19);
 * - panels of 24, scores in blocks of 6 x 8, two steps at a time: 31 (22);
 * - one step at a time, this: 37 (22); cross-attention with 77 keys 37 (22), 256 tokens with a head of 160 41 (23).
 */

import { exp2OfNegative, madd } from './lib/math';

/** Argument slots. */
const Q: usize = 0;
const K: usize = 4;
const V: usize = 8;
const Y: usize = 12;
const QUERIES: usize = 16;
const KEYS: usize = 20;
const HEADS: usize = 24;
const HEAD_DIM: usize = 28;
/** Channels of a row of q, k and v. */
const Q_CHANNELS: usize = 32;
const K_CHANNELS: usize = 36;
const V_CHANNELS: usize = 40;
/** The scores' factor times log2(e), as the softmax is made of powers of two. */
const SCALE: usize = 44;
const CAUSAL: usize = 48;
/** Most queries of a task, a multiple of 24; most keys of a block. */
const QUERY_BLOCK: usize = 52;
const KEY_BLOCK: usize = 56;
/** What is added to scores, or 0, and its elements from one image, key, query and head to the next. */
const BIAS: usize = 60;
const BIAS_IMAGE: usize = 64;
const BIAS_KEY: usize = 68;
const BIAS_QUERY: usize = 72;
const BIAS_HEAD: usize = 76;

/** Queries of a panel. */
const PANEL: i32 = 24;
/** Bytes of one number for each query of a panel. */
const ROW: usize = 96;
/** For each query of a panel: the largest score so far, the sum of weights, and the factor for older sums. */
const MAXIMA: usize = 0;
const TOTALS: usize = 96;
const FACTORS: usize = 192;
const STATE_BYTES: usize = 288;

export function attention(args: usize, task: i32, scratch: usize): void {
  const queries = load<i32>(args, QUERIES);
  const keys = load<i32>(args, KEYS);
  const heads = load<i32>(args, HEADS);
  const depth = load<i32>(args, HEAD_DIM);
  const queryBlock = load<i32>(args, QUERY_BLOCK);
  const keyBlock = load<i32>(args, KEY_BLOCK);
  const causal = load<i32>(args, CAUSAL);
  const bias = load<usize>(args, BIAS);
  const blocks = (queries + queryBlock - 1) / queryBlock;
  const imageHead = task / blocks;
  const image = imageHead / heads;
  const head = imageHead - image * heads;
  const first = (task - imageHead * blocks) * queryBlock;
  const count = min(queryBlock, queries - first);
  const panels = (count + PANEL - 1) / PANEL;

  const qStride = (<usize>load<i32>(args, Q_CHANNELS)) << 2;
  const kStride = (<usize>load<i32>(args, K_CHANNELS)) << 2;
  const vStride = (<usize>load<i32>(args, V_CHANNELS)) << 2;
  const headBytes = (<usize>depth) << 2;
  const toHead = <usize>head * headBytes;
  const q = load<usize>(args, Q) + <usize>(image * queries + first) * qStride + toHead;
  const k = load<usize>(args, K) + <usize>(image * keys) * kStride + toHead;
  const v = load<usize>(args, V) + <usize>(image * keys) * vStride + toHead;

  const scores = scratch;
  const packed = scores + <usize>(keyBlock + 5) * ROW;
  const panelBytes = <usize>depth * ROW;
  const sums = packed + <usize>panels * panelBytes;
  const states = sums + <usize>panels * panelBytes;
  for (let panel = 0; panel < panels; panel++) {
    const at = panel * PANEL;
    const from = q + <usize>at * qStride;
    packQueries(from, qStride, count - at, depth, load<f32>(args, SCALE), packed + <usize>panel * panelBytes);
    begin(sums + <usize>panel * panelBytes, panelBytes, states + <usize>panel * STATE_BYTES);
  }
  const seen = causal ? min(keys, first + count) : keys;
  for (let from = 0; from < seen; from += keyBlock) {
    const kBlock = k + <usize>from * kStride;
    const vBlock = v + <usize>from * vStride;
    for (let panel = 0; panel < panels; panel++) {
      const query = first + panel * PANEL;
      const n = min(keyBlock, (causal ? min(keys, query + PANEL) : keys) - from);
      if (n <= 0) continue;
      const offset = <usize>panel * panelBytes;
      const state = states + <usize>panel * STATE_BYTES;
      const inPanel = min(PANEL, queries - query);
      multiplyKeys(packed + offset, inPanel, depth, kBlock, kStride, n, scores);
      if (bias != 0) addBias(args, scores, n, inPanel, image, from, query, head);
      if (causal) hideFuture(scores, n, from, query);
      weigh(scores, inPanel, n, state);
      addValues(scores, inPanel, n, vBlock, vStride, depth, state + FACTORS, sums + offset);
    }
  }
  const yStride = <usize>heads * headBytes;
  const y = load<usize>(args, Y) + <usize>(image * queries + first) * yStride + toHead;
  for (let i = 0; i < count; i++) {
    const panel = <usize>(i / PANEL);
    const total = states + panel * STATE_BYTES + TOTALS + ((<usize>(i % PANEL)) << 2);
    divideRow(sums + <usize>i * headBytes, load<f32>(total), y + <usize>i * yStride, headBytes);
  }
}

/** One panel of queries, times the scale; queries beyond the last are copies of it. */
function packQueries(from: usize, stride: usize, count: i32, depth: i32, scale: f32, to: usize): void {
  const factor = f32x4.splat(scale);
  for (let row = 0; row < PANEL; row++, to += 4) {
    let source = from + <usize>min(row, count - 1) * stride;
    let target = to;
    for (let d = 0; d < depth; d += 4, source += 16, target += 4 * ROW) {
      const numbers = f32x4.mul(v128.load(source), factor);
      v128.store_lane<f32>(target, numbers, 0);
      v128.store_lane<f32>(target, numbers, 1, ROW);
      v128.store_lane<f32>(target, numbers, 2, 2 * ROW);
      v128.store_lane<f32>(target, numbers, 3, 3 * ROW);
    }
  }
}

/** Sums and totals of nothing. */
function begin(sums: usize, bytes: usize, state: usize): void {
  memory.fill(sums, 0, bytes);
  for (let i: usize = 0; i < ROW; i += 16) {
    v128.store(state + i, f32x4.splat(-Infinity), MAXIMA);
    v128.store(state + i, f32x4.splat(0), TOTALS);
  }
}

/** Scores [count][24] of a panel, 6 keys by 8 queries at a time; the last six may overlap those before. */
function multiplyKeys(
  panel: usize,
  queries: i32,
  depth: i32,
  k: usize,
  stride: usize,
  count: i32,
  scores: usize,
): void {
  const end = panel + ((<usize>queries) << 2);
  for (; panel < end; panel += 32, scores += 32) {
    let key = 0;
    for (; key + 6 <= count; key += 6)
      multiplySixKeys(panel, depth, k + <usize>key * stride, stride, scores + <usize>key * ROW);
    if (key < count && key > 0) {
      key = count - 6;
      multiplySixKeys(panel, depth, k + <usize>key * stride, stride, scores + <usize>key * ROW);
    } else {
      for (; key < count; key++)
        multiplySixKeys(panel, depth, k + <usize>key * stride, 0, scores + <usize>key * ROW);
    }
  }
}

/**
 * One step of the sum at a time: of two or four the engine mixes the instructions, and has too few registers for that.
 * The same happens to a loop within others, so this has to stay a function of its own.
 */
function multiplySixKeys(q: usize, depth: i32, k0: usize, stride: usize, to: usize): void {
  let k1 = k0 + stride;
  let k2 = k1 + stride;
  let k3 = k2 + stride;
  let k4 = k3 + stride;
  let k5 = k4 + stride;
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  let s20 = s00;
  let s21 = s00;
  let s30 = s00;
  let s31 = s00;
  let s40 = s00;
  let s41 = s00;
  let s50 = s00;
  let s51 = s00;
  for (const end = q + <usize>depth * ROW; q < end; q += ROW) {
    const c0 = v128.load(q);
    const c1 = v128.load(q, 16);
    let x = v128.load32_splat(k0);
    s00 = madd(x, c0, s00);
    s01 = madd(x, c1, s01);
    x = v128.load32_splat(k1);
    s10 = madd(x, c0, s10);
    s11 = madd(x, c1, s11);
    x = v128.load32_splat(k2);
    s20 = madd(x, c0, s20);
    s21 = madd(x, c1, s21);
    x = v128.load32_splat(k3);
    s30 = madd(x, c0, s30);
    s31 = madd(x, c1, s31);
    x = v128.load32_splat(k4);
    s40 = madd(x, c0, s40);
    s41 = madd(x, c1, s41);
    x = v128.load32_splat(k5);
    s50 = madd(x, c0, s50);
    s51 = madd(x, c1, s51);
    k0 += 4;
    k1 += 4;
    k2 += 4;
    k3 += 4;
    k4 += 4;
    k5 += 4;
  }
  v128.store(to, s00);
  v128.store(to, s01, 16);
  v128.store(to, s10, ROW);
  v128.store(to, s11, ROW + 16);
  v128.store(to, s20, 2 * ROW);
  v128.store(to, s21, 2 * ROW + 16);
  v128.store(to, s30, 3 * ROW);
  v128.store(to, s31, 3 * ROW + 16);
  v128.store(to, s40, 4 * ROW);
  v128.store(to, s41, 4 * ROW + 16);
  v128.store(to, s50, 5 * ROW);
  v128.store(to, s51, 5 * ROW + 16);
}

/** Adds the bias to scores [count][24], which are in powers of two. */
function addBias(
  args: usize,
  scores: usize,
  count: i32,
  queries: i32,
  image: i32,
  firstKey: i32,
  firstQuery: i32,
  head: i32,
): void {
  const log2e: f32 = 1.4426950408889634;
  const keyStride = load<i32>(args, BIAS_KEY);
  const queryStride = (<usize>load<i32>(args, BIAS_QUERY)) << 2;
  const first =
    image * load<i32>(args, BIAS_IMAGE) +
    head * load<i32>(args, BIAS_HEAD) +
    firstKey * keyStride +
    firstQuery * load<i32>(args, BIAS_QUERY);
  let from = load<usize>(args, BIAS) + ((<usize>first) << 2);
  for (let key = 0; key < count; key++, from += (<usize>keyStride) << 2, scores += ROW) {
    if (queryStride == 0) {
      const added = f32x4.splat(load<f32>(from) * log2e);
      for (let i: usize = 0; i < ROW; i += 16) v128.store(scores + i, f32x4.add(v128.load(scores + i), added));
    } else {
      for (let i = 0; i < queries; i++) {
        const score = scores + ((<usize>i) << 2);
        store<f32>(score, load<f32>(score) + load<f32>(from + <usize>i * queryStride) * log2e);
      }
    }
  }
}

/** Makes scores of keys behind their query minus infinity. */
function hideFuture(scores: usize, count: i32, firstKey: i32, firstQuery: i32): void {
  const nothing = f32x4.splat(-Infinity);
  const query = i32x4.add(i32x4.splat(firstQuery), i32x4(0, 1, 2, 3));
  for (let key = max(firstQuery + 1 - firstKey, 0); key < count; key++) {
    const row = scores + <usize>key * ROW;
    for (let i = 0; i < PANEL; i += 4) {
      const hidden = i32x4.lt_s(i32x4.add(query, i32x4.splat(i)), i32x4.splat(firstKey + key));
      const at = row + ((<usize>i) << 2);
      v128.store(at, v128.bitselect(nothing, v128.load(at), hidden));
    }
  }
}

/** Scores to weights, relative to the largest score so far; brings the state up to date. */
function weigh(scores: usize, queries: i32, count: i32, state: usize): void {
  const end = (<usize>queries) << 2;
  for (let query: usize = 0; query < end; query += 32)
    weighEight(scores + query, scores + query + <usize>count * ROW, state + query);
}

function weighEight(scores: usize, end: usize, state: usize): void {
  const old0 = v128.load(state, MAXIMA);
  const old1 = v128.load(state, MAXIMA + 16);
  let max0 = old0;
  let max1 = old1;
  for (let row = scores; row < end; row += ROW) {
    max0 = f32x4.pmax(max0, v128.load(row));
    max1 = f32x4.pmax(max1, v128.load(row, 16));
  }
  const factor0 = exp2OfNegative(f32x4.sub(old0, max0));
  const factor1 = exp2OfNegative(f32x4.sub(old1, max1));
  let total0 = f32x4.mul(v128.load(state, TOTALS), factor0);
  let total1 = f32x4.mul(v128.load(state, TOTALS + 16), factor1);
  for (let row = scores; row < end; row += ROW) {
    const weight0 = exp2OfNegative(f32x4.sub(v128.load(row), max0));
    const weight1 = exp2OfNegative(f32x4.sub(v128.load(row, 16), max1));
    total0 = f32x4.add(total0, weight0);
    total1 = f32x4.add(total1, weight1);
    v128.store(row, weight0);
    v128.store(row, weight1, 16);
  }
  v128.store(state, max0, MAXIMA);
  v128.store(state, max1, MAXIMA + 16);
  v128.store(state, total0, TOTALS);
  v128.store(state, total1, TOTALS + 16);
  v128.store(state, factor0, FACTORS);
  v128.store(state, factor1, FACTORS + 16);
}

/** sums [24][depth] = sums * factors + weights^T values, 6 queries by 8 channels at a time. */
function addValues(
  weights: usize,
  queries: i32,
  count: i32,
  v: usize,
  stride: usize,
  depth: i32,
  factors: usize,
  sums: usize,
): void {
  const rowBytes = (<usize>depth) << 2;
  const end = (<usize>queries) << 2;
  for (let channel: usize = 0; channel < rowBytes; channel += 32)
    for (let query: usize = 0; query < end; query += 24) {
      const to = sums + (query >> 2) * rowBytes + channel;
      addToSixQueries(weights + query, count, v + channel, stride, factors + query, to, rowBytes);
    }
}

function addToSixQueries(
  weight: usize,
  count: i32,
  v: usize,
  stride: usize,
  factor: usize,
  r0: usize,
  rowBytes: usize,
): void {
  const r1 = r0 + rowBytes;
  const r2 = r1 + rowBytes;
  const r3 = r2 + rowBytes;
  const r4 = r3 + rowBytes;
  const r5 = r4 + rowBytes;
  let x = v128.load32_splat(factor);
  let s00 = f32x4.mul(x, v128.load(r0));
  let s01 = f32x4.mul(x, v128.load(r0, 16));
  x = v128.load32_splat(factor, 4);
  let s10 = f32x4.mul(x, v128.load(r1));
  let s11 = f32x4.mul(x, v128.load(r1, 16));
  x = v128.load32_splat(factor, 8);
  let s20 = f32x4.mul(x, v128.load(r2));
  let s21 = f32x4.mul(x, v128.load(r2, 16));
  x = v128.load32_splat(factor, 12);
  let s30 = f32x4.mul(x, v128.load(r3));
  let s31 = f32x4.mul(x, v128.load(r3, 16));
  x = v128.load32_splat(factor, 16);
  let s40 = f32x4.mul(x, v128.load(r4));
  let s41 = f32x4.mul(x, v128.load(r4, 16));
  x = v128.load32_splat(factor, 20);
  let s50 = f32x4.mul(x, v128.load(r5));
  let s51 = f32x4.mul(x, v128.load(r5, 16));
  for (const end = weight + <usize>count * ROW; weight < end; weight += ROW) {
    const c0 = v128.load(v);
    const c1 = v128.load(v, 16);
    x = v128.load32_splat(weight);
    s00 = madd(x, c0, s00);
    s01 = madd(x, c1, s01);
    x = v128.load32_splat(weight, 4);
    s10 = madd(x, c0, s10);
    s11 = madd(x, c1, s11);
    x = v128.load32_splat(weight, 8);
    s20 = madd(x, c0, s20);
    s21 = madd(x, c1, s21);
    x = v128.load32_splat(weight, 12);
    s30 = madd(x, c0, s30);
    s31 = madd(x, c1, s31);
    x = v128.load32_splat(weight, 16);
    s40 = madd(x, c0, s40);
    s41 = madd(x, c1, s41);
    x = v128.load32_splat(weight, 20);
    s50 = madd(x, c0, s50);
    s51 = madd(x, c1, s51);
    v += stride;
  }
  v128.store(r0, s00);
  v128.store(r0, s01, 16);
  v128.store(r1, s10);
  v128.store(r1, s11, 16);
  v128.store(r2, s20);
  v128.store(r2, s21, 16);
  v128.store(r3, s30);
  v128.store(r3, s31, 16);
  v128.store(r4, s40);
  v128.store(r4, s41, 16);
  v128.store(r5, s50);
  v128.store(r5, s51, 16);
}

/** y = sums / total for one query. */
function divideRow(sums: usize, total: f32, y: usize, bytes: usize): void {
  const factor = f32x4.splat(1 / total);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(y + i, f32x4.mul(v128.load(sums + i), factor));
}
