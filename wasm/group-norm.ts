/**
 * Group normalisation (Wu and He 2018) of one or two sources that are read as if their channels were concatenated.
 *
 * Moments: a task reads a chunk of an image's rows twice, while they are in the cache, once for the channels' means and
 * once for the differences from them (the corrected two-pass algorithm, Chan, Golub and LeVeque 1983); then it joins
 * channels to groups in f64. Scales: the chunks of a group are joined, in f64, in their order. The last launch is the
 * only one that writes something large: y = activation((x - mean) * scale + shift), row by row.
 *
 * Vectors that hang over the end of a row have garbage in their last lanes, which is never stored.
 *
 * GB/s of a thread, relaxed-simd (simd128), on 2 hyper-threads of one EPYC core that others used too: moments 20 (19) of
 * reads with 320 channels at 64x64; rows 23 to 36 of reads and writes, with silu 3.8 (2.6) one vector at a time, 4.9
 * (3.1) with constants in memory, 6.2 (4.2) four vectors at a time. So silu is most of a norm: 8 (5.7) for all of it.
 */

import { storeLanes } from './lib/lanes';
import { activate, madd, silu } from './lib/math';

/** Bytes of a chunk's share of a group: its mean and its sum of squared differences from that, in f64. */
const PARTIAL: usize = 16;

/**
 * partials [image][group][chunk] from x and x2.
 * Arguments: x, x2, partials, rows of an image, rows of a chunk, channels of x, channels of x2, groups.
 */
export function groupNormMoments(args: usize, task: i32, scratch: usize): void {
  const imageRows = load<i32>(args, 12);
  const chunkRows = load<i32>(args, 16);
  const channels1 = load<i32>(args, 20);
  const channels2 = load<i32>(args, 24);
  const groups = load<i32>(args, 28);
  const chunks = chunksOf(imageRows, chunkRows);
  const image = task / chunks;
  const chunk = task - image * chunks;
  const first = chunk * chunkRows;
  const rows = min(chunkRows, imageRows - first);
  const row = image * imageRows + first;

  const channels = channels1 + channels2;
  const pitch = ((<usize>channels) << 2) + 16;
  const means = scratch;
  const squares = means + pitch;
  const errors = squares + pitch;
  const bytes1 = (<usize>channels1) << 2;
  const bytes2 = (<usize>channels2) << 2;
  channelMoments(load<usize>(args) + <usize>row * bytes1, bytes1, rows, means, squares, errors);
  if (channels2 > 0)
    channelMoments(
      load<usize>(args, 4) + <usize>row * bytes2,
      bytes2,
      rows,
      means + bytes1,
      squares + bytes1,
      errors + bytes1,
    );

  const groupBytes = (<usize>(channels / groups)) << 2;
  let partial = load<usize>(args, 8) + <usize>(image * groups * chunks + chunk) * PARTIAL;
  for (let group = 0; group < groups; group++) {
    const from = <usize>group * groupBytes;
    joinChannels(means + from, squares + from, errors + from, groupBytes, rows, partial);
    partial += <usize>chunks * PARTIAL;
  }
}

/**
 * Of each channel of some rows: a mean, the squared differences from it, and their sum, which is 0 but for the mean's
 * rounding error. Four rows at a time, so that the memory that holds the sums is not what one waits for.
 */
function channelMoments(
  x: usize,
  bytes: usize,
  rows: i32,
  means: usize,
  squares: usize,
  errors: usize,
): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(means + i, f32x4.splat(0));
    v128.store(squares + i, f32x4.splat(0));
    v128.store(errors + i, f32x4.splat(0));
  }
  let row = 0;
  let p = x;
  for (; row + 4 <= rows; row += 4, p += 4 * bytes) addRows(p, bytes, bytes, means);
  for (; row < rows; row++, p += bytes) addRow(p, bytes, means);
  const factor = f32x4.splat(1 / <f32>rows);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(means + i, f32x4.mul(v128.load(means + i), factor));
  row = 0;
  p = x;
  for (; row + 4 <= rows; row += 4, p += 4 * bytes) addDifferences(p, bytes, means, squares, errors);
  for (; row < rows; row++, p += bytes) addDifference(p, bytes, means, squares, errors);
}

/** sums += the sum of four rows. */
function addRows(p: usize, stride: usize, bytes: usize, sums: usize): void {
  const p1 = p + stride;
  const p2 = p1 + stride;
  const p3 = p2 + stride;
  for (let i: usize = 0; i < bytes; i += 16) {
    const left = f32x4.add(v128.load(p + i), v128.load(p1 + i));
    const right = f32x4.add(v128.load(p2 + i), v128.load(p3 + i));
    v128.store(sums + i, f32x4.add(v128.load(sums + i), f32x4.add(left, right)));
  }
}

/** sums += a row. */
function addRow(p: usize, bytes: usize, sums: usize): void {
  for (let i: usize = 0; i < bytes; i += 16)
    v128.store(sums + i, f32x4.add(v128.load(sums + i), v128.load(p + i)));
}

/** Adds four rows' differences from the means, and their squares. */
function addDifferences(p: usize, bytes: usize, means: usize, squares: usize, errors: usize): void {
  const p1 = p + bytes;
  const p2 = p1 + bytes;
  const p3 = p2 + bytes;
  for (let i: usize = 0; i < bytes; i += 16) {
    const mean = v128.load(means + i);
    const d0 = f32x4.sub(v128.load(p + i), mean);
    const d1 = f32x4.sub(v128.load(p1 + i), mean);
    const d2 = f32x4.sub(v128.load(p2 + i), mean);
    const d3 = f32x4.sub(v128.load(p3 + i), mean);
    const left = madd(d0, d0, f32x4.mul(d1, d1));
    const right = madd(d2, d2, f32x4.mul(d3, d3));
    v128.store(squares + i, f32x4.add(v128.load(squares + i), f32x4.add(left, right)));
    const sum = f32x4.add(f32x4.add(d0, d1), f32x4.add(d2, d3));
    v128.store(errors + i, f32x4.add(v128.load(errors + i), sum));
  }
}

/** Adds a row's differences from the means, and their squares. */
function addDifference(p: usize, bytes: usize, means: usize, squares: usize, errors: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    const d = f32x4.sub(v128.load(p + i), v128.load(means + i));
    v128.store(squares + i, madd(d, d, v128.load(squares + i)));
    v128.store(errors + i, f32x4.add(v128.load(errors + i), d));
  }
}

/** A group's partial from the moments of its channels, each of `rows` numbers. */
function joinChannels(
  means: usize,
  squares: usize,
  errors: usize,
  bytes: usize,
  rows: i32,
  partial: usize,
): void {
  const share = 1 / <f64>rows;
  let sum: f64 = 0;
  let sumOfSquares: f64 = 0;
  let within: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) {
    const error = <f64>load<f32>(errors + i) * share;
    const mean = <f64>load<f32>(means + i) + error;
    sum += mean;
    sumOfSquares += mean * mean;
    within += <f64>load<f32>(squares + i) - error * error * <f64>rows;
  }
  const channels = <f64>(bytes >> 2);
  const mean = sum / channels;
  store<f64>(partial, mean);
  store<f64>(partial, within + (sumOfSquares - sum * mean) * <f64>rows, 8);
}

/**
 * tables [image][mean, scale, shift][pitch] of each channel, from partials.
 * Arguments: partials, weight, bias, tables, images times groups, groups of a task, rows of an image, rows of a chunk,
 * channels, groups, pitch, eps.
 */
export function groupNormScales(args: usize, task: i32, scratch: usize): void {
  const taskGroups = load<i32>(args, 20);
  const channels = load<i32>(args, 32);
  const groups = load<i32>(args, 36);
  const end = min((task + 1) * taskGroups, load<i32>(args, 16));
  const groupChannels = channels / groups;
  for (let i = task * taskGroups; i < end; i++) {
    joinChunks(load<usize>(args), i, load<i32>(args, 24), load<i32>(args, 28), groupChannels, scratch);
    const count = <f64>load<i32>(args, 24) * <f64>groupChannels;
    writeTables(
      args,
      4,
      i,
      groups,
      groupChannels,
      load<i32>(args, 40),
      load<f64>(scratch),
      load<f64>(scratch, 8) / count,
      load<f32>(args, 44),
    );
  }
}

/**
 * The same tables from statistics [image][group][count, mean, squared differences].
 * Arguments: stats, weight, bias, tables, images times groups, groups of a task, channels, groups, pitch, eps.
 */
export function groupNormGivenScales(args: usize, task: i32, scratch: usize): void {
  const taskGroups = load<i32>(args, 20);
  const groups = load<i32>(args, 28);
  const groupChannels = load<i32>(args, 24) / groups;
  const end = min((task + 1) * taskGroups, load<i32>(args, 16));
  for (let i = task * taskGroups; i < end; i++) {
    const stats = load<usize>(args) + <usize>i * 12;
    const variance = <f64>load<f32>(stats, 8) / <f64>load<f32>(stats);
    writeTables(
      args,
      4,
      i,
      groups,
      groupChannels,
      load<i32>(args, 32),
      <f64>load<f32>(stats, 4),
      variance,
      load<f32>(args, 36),
    );
  }
}

/**
 * y [image][group][count, mean, squared differences] from partials and, unless its address is 0, previous statistics.
 * Arguments: partials, previous, y, images times groups, groups of a task, rows of an image, rows of a chunk, channels
 * of a group.
 */
export function groupNormStatistics(args: usize, task: i32, scratch: usize): void {
  const previous = load<usize>(args, 4);
  const taskGroups = load<i32>(args, 16);
  const imageRows = load<i32>(args, 20);
  const groupChannels = load<i32>(args, 28);
  const end = min((task + 1) * taskGroups, load<i32>(args, 12));
  for (let i = task * taskGroups; i < end; i++) {
    joinChunks(load<usize>(args), i, imageRows, load<i32>(args, 24), groupChannels, scratch);
    let count = <f64>imageRows * <f64>groupChannels;
    let mean = load<f64>(scratch);
    let squares = load<f64>(scratch, 8);
    if (previous != 0) {
      const before = previous + <usize>i * 12;
      const countBefore = <f64>load<f32>(before);
      const difference = mean - <f64>load<f32>(before, 4);
      const total = count + countBefore;
      squares += <f64>load<f32>(before, 8) + (difference * difference * count * countBefore) / total;
      mean -= (difference * countBefore) / total;
      count = total;
    }
    const y = load<usize>(args, 8) + <usize>i * 12;
    store<f32>(y, <f32>count);
    store<f32>(y, <f32>mean, 4);
    store<f32>(y, <f32>squares, 8);
  }
}

/** Mean and squared differences of group number `index` of all images, to `to`. */
function joinChunks(
  partials: usize,
  index: i32,
  imageRows: i32,
  chunkRows: i32,
  groupChannels: i32,
  to: usize,
): void {
  const chunks = chunksOf(imageRows, chunkRows);
  const from = partials + <usize>(index * chunks) * PARTIAL;
  const last = <usize>(chunks - 1) * PARTIAL;
  const lastRows = <f64>(imageRows - (chunks - 1) * chunkRows);
  let sum: f64 = 0;
  for (let i: usize = 0; i < last; i += PARTIAL) sum += load<f64>(from + i);
  const mean = (sum * <f64>chunkRows + load<f64>(from + last) * lastRows) / <f64>imageRows;
  let within = load<f64>(from + last, 8);
  let between: f64 = 0;
  for (let i: usize = 0; i < last; i += PARTIAL) {
    const difference = load<f64>(from + i) - mean;
    between += difference * difference;
    within += load<f64>(from + i, 8);
  }
  const difference = load<f64>(from + last) - mean;
  between = between * <f64>chunkRows + difference * difference * lastRows;
  store<f64>(to, mean);
  store<f64>(to, within + between * <f64>groupChannels, 8);
}

/**
 * The tables' entries of one group. A mean is rounded to f32, so that x - mean is exact where it is small; what the
 * rounding took goes into the shift. `args` has weight, bias and tables from byte `at` on.
 */
function writeTables(
  args: usize,
  at: usize,
  index: i32,
  groups: i32,
  groupChannels: i32,
  pitch: i32,
  mean: f64,
  variance: f64,
  eps: f32,
): void {
  const image = index / groups;
  const first = (<usize>((index - image * groups) * groupChannels)) << 2;
  const pitchBytes = (<usize>pitch) << 2;
  const weight = load<usize>(args + at) + first;
  const bias = load<usize>(args + at, 4) + first;
  const table = load<usize>(args + at, 8) + <usize>image * 3 * pitchBytes + first;
  const deviation = 1 / sqrt<f64>(variance + <f64>eps);
  const rounded = <f32>mean;
  const rest = mean - <f64>rounded;
  const end = (<usize>groupChannels) << 2;
  for (let i: usize = 0; i < end; i += 4) {
    const scale = deviation * <f64>load<f32>(weight + i);
    store<f32>(table + i, rounded);
    store<f32>(table + pitchBytes + i, <f32>scale);
    store<f32>(table + 2 * pitchBytes + i, <f32>(<f64>load<f32>(bias + i) - rest * scale));
  }
}

/**
 * y = activation((x - mean) * scale + shift).
 * Arguments: x, x2, y, tables, rows, rows of a task, rows of an image, channels of x, channels of x2, pitch, activation.
 */
export function groupNormRows(args: usize, task: i32, scratch: usize): void {
  const taskRows = load<i32>(args, 20);
  const imageRows = load<i32>(args, 24);
  const bytes1 = (<usize>load<i32>(args, 28)) << 2;
  const bytes2 = (<usize>load<i32>(args, 32)) << 2;
  const pitch = (<usize>load<i32>(args, 36)) << 2;
  const kind = load<i32>(args, 40);
  const end = min((task + 1) * taskRows, load<i32>(args, 16));
  for (let row = task * taskRows; row < end; row++) {
    const table = load<usize>(args, 12) + <usize>(row / imageRows) * 3 * pitch;
    const y = load<usize>(args, 8) + <usize>row * (bytes1 + bytes2);
    normalizeRow(load<usize>(args) + <usize>row * bytes1, bytes1, table, pitch, kind, y);
    if (bytes2 > 0)
      normalizeRow(
        load<usize>(args, 4) + <usize>row * bytes2,
        bytes2,
        table + bytes1,
        pitch,
        kind,
        y + bytes1,
      );
  }
}

function normalizeRow(x: usize, bytes: usize, table: usize, pitch: usize, kind: i32, y: usize): void {
  const whole = bytes & ~15;
  if (kind == 2) {
    let i: usize = 0;
    // Four at a time, because the engine makes the constants of silu anew in each iteration.
    for (; i + 64 <= whole; i += 64) {
      v128.store(y + i, silu(normalize(x + i, table + i, pitch)));
      v128.store(y + i, silu(normalize(x + i + 16, table + i + 16, pitch)), 16);
      v128.store(y + i, silu(normalize(x + i + 32, table + i + 32, pitch)), 32);
      v128.store(y + i, silu(normalize(x + i + 48, table + i + 48, pitch)), 48);
    }
    for (; i < whole; i += 16) v128.store(y + i, silu(normalize(x + i, table + i, pitch)));
  } else if (kind == 0) {
    for (let i: usize = 0; i < whole; i += 16) v128.store(y + i, normalize(x + i, table + i, pitch));
  } else {
    for (let i: usize = 0; i < whole; i += 16)
      v128.store(y + i, activate(kind, normalize(x + i, table + i, pitch)));
  }
  if (whole < bytes) {
    const last = activate(kind, normalize(x + whole, table + whole, pitch));
    storeLanes(y + whole, last, <i32>((bytes - whole) >> 2));
  }
}

function normalize(x: usize, table: usize, pitch: usize): v128 {
  const difference = f32x4.sub(v128.load(x), v128.load(table));
  return madd(difference, v128.load(table + pitch), v128.load(table + 2 * pitch));
}

function chunksOf(imageRows: i32, chunkRows: i32): i32 {
  return (imageRows + chunkRows - 1) / chunkRows;
}
