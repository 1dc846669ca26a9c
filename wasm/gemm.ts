/**
 * Convolution and linear layers as one implicit matrix product: rows are output pixels or tokens, columns output
 * channels, the sum runs over (ky, kx, channel of x, channel of x2), each source's channels padded to a multiple of 4.
 *
 * A task does a block of rows times a block of column panels. It goes along the sum in blocks of `depth` steps: gathers
 * the rows into panels, widens one column panel at a time, and multiplies; the sums stay in the thread's scratch until
 * the epilogue stores them. Linear layers and 1x1 convolutions need not gather.
 *
 * GFLOP/s with relaxed-simd on one thread of 2 hyper-threads of one EPYC core, the other one busy, where the inner loop
 * alone (gemm-peak.ts) ran at 39 to 41; weights F8_E4M3; in brackets with weights as F32:
 * - rows gathered by every task, columns widened 4 at a time: 512 x 192 -> 192 29.5 (34.5), 128 x 288 -> 288 29 (33),
 *   512 x 192 -> 576 30 (36);
 * - columns widened 8 at a time, by 16-bit operations as far as they go: 32, 31;
 * - rows read where they are, this: 33, 33, 34; 512 x 768 -> 192 34; 1x1 convolutions of two sources 29 to 34.
 * Gathered, 3x3 with stride 2: 28; with tasks of one column panel, which gather everything again for 8 columns: 19 to 24.
 * Built as simd128 the inner loop runs at 31, 512 x 192 -> 192 at 27, 512 x 768 -> 192 at 28.
 */

import { finishRow } from './lib/epilogue';
import * as slot from './lib/matrix-args';
import { multiply4x8, multiply6x8 } from './lib/micro-kernel';
import { foursOf, multiplyPanels, paddedRows, rowAddress } from './lib/panels';
import { shiftOf } from './lib/weight-type';
import { widenPanel } from './lib/widen';

const M: usize = slot.OWN;
/** Steps of the whole sum, and of a block of it. */
const K: usize = slot.OWN + 4;
const DEPTH: usize = slot.OWN + 8;
/** Column panels in all, and in a task. */
const PANELS: usize = slot.OWN + 12;
const TASK_PANELS: usize = slot.OWN + 16;
const TASK_ROWS: usize = slot.OWN + 20;
const KERNEL_WIDTH: usize = slot.OWN + 24;
const STRIDE: usize = slot.OWN + 28;
/** Whether row r is just pixel r of the sources, whose channels are multiples of 4: then rows are read where they are. */
const DIRECT: usize = slot.OWN + 32;

/** A row's image, and where its window begins: image, y, x. */
const ROW_BYTES: usize = 12;

export function gemm(args: usize, task: i32, scratch: usize): void {
  const k = load<i32>(args, K);
  const blockDepth = load<i32>(args, DEPTH);
  const panels = load<i32>(args, PANELS);
  const taskPanels = load<i32>(args, TASK_PANELS);
  const columnTasks = (panels + taskPanels - 1) / taskPanels;
  const rowTask = task / columnTasks;
  const firstPanel = (task - rowTask * columnTasks) * taskPanels;
  const endPanel = min(firstPanel + taskPanels, panels);
  const firstRow = rowTask * load<i32>(args, TASK_ROWS);
  const rows = min(load<i32>(args, TASK_ROWS), load<i32>(args, M) - firstRow);
  const padded = paddedRows(rows);
  const sixRows = padded - foursOf(rows) * 4;
  const type = load<i32>(args, slot.WEIGHT_TYPE);
  const weight = load<usize>(args, slot.WEIGHT);
  const elementShift = shiftOf(type);

  const stride = (<usize>(endPanel - firstPanel)) << 5;
  const sums = scratch;
  const columnPanel = sums + stride * (<usize>padded);
  const windows = columnPanel + ((<usize>blockDepth) << 5);
  const rowPanels = windows + ROW_BYTES * (<usize>padded);
  const direct = load<i32>(args, DIRECT);
  findWindows(args, windows, firstRow, rows, padded);
  const channels1 = load<i32>(args, slot.C1);
  for (let from = 0; from < k; ) {
    const second = direct && from >= channels1;
    const end = direct && !second ? channels1 : k;
    const depth = min(blockDepth, end - from);
    let first: usize = 0;
    let pitch: usize = 0;
    if (direct) {
      const channels = second ? load<i32>(args, slot.C2) : channels1;
      const source = second ? load<usize>(args, slot.X2) : load<usize>(args, slot.X);
      pitch = (<usize>channels) << 2;
      first = source + <usize>firstRow * pitch + ((<usize>(second ? from - channels1 : from)) << 2);
      if (padded > rows) copyLastRows(first, pitch, rows, padded, depth, rowPanels);
    } else gatherRows(args, rowPanels, windows, padded, sixRows, from, depth);
    for (let panel = firstPanel; panel < endPanel; panel++) {
      const stored = weight + ((<usize>(panel * k + from)) << (3 + elementShift));
      const column = widenPanel(stored, type, depth, columnPanel);
      const to = sums + ((<usize>(panel - firstPanel)) << 5);
      if (direct) multiplyRows(first, pitch, rows, padded, sixRows, rowPanels, column, to, depth, stride, from > 0);
      else multiplyPanels(rowPanels, padded, sixRows, depth, 0, column, to, depth, stride, from > 0);
    }
    from += depth;
  }
  finish(args, sums, stride, windows, firstRow, rows, firstPanel, endPanel);
}

/** Rows beyond the last are copies of it, so that they need no cases of their own; their sums are not stored. */
function findWindows(args: usize, windows: usize, firstRow: i32, rows: i32, padded: i32): void {
  const outWidth = load<i32>(args, slot.OUT_WIDTH);
  const imageRows = load<i32>(args, slot.OUT_HEIGHT) * outWidth;
  const stride = load<i32>(args, STRIDE);
  const padTop = load<i32>(args, slot.PAD_TOP);
  const padLeft = load<i32>(args, slot.PAD_LEFT);
  for (let r = 0; r < padded; r++, windows += ROW_BYTES) {
    const row = firstRow + min(r, rows - 1);
    const image = row / imageRows;
    const pixel = row - image * imageRows;
    const y = pixel / outWidth;
    store<i32>(windows, image);
    store<i32>(windows, y * stride - padTop, 4);
    store<i32>(windows, (pixel - y * outWidth) * stride - padLeft, 8);
  }
}

/** Packs `depth` steps of all rows from step `from` on. */
function gatherRows(
  args: usize,
  target: usize,
  windows: usize,
  padded: i32,
  sixRows: i32,
  from: i32,
  depth: i32,
): void {
  const padded1 = (load<i32>(args, slot.C1) + 3) & ~3;
  const padded2 = (load<i32>(args, slot.C2) + 3) & ~3;
  const tapDepth = padded1 + padded2;
  const end = from + depth;
  for (let k = from; k < end; ) {
    const tap = k / tapDepth;
    const inTap = k - tap * tapDepth;
    const second = inTap >= padded1;
    const stop = min(end, tap * tapDepth + (second ? tapDepth : padded1));
    const channel = second ? inTap - padded1 : inTap;
    gatherSegment(args, target, windows, padded, sixRows, depth, k - from, stop - k, tap, second, channel);
    k = stop;
  }
}

/** Packs `count` steps of all rows that are neighbouring channels of one source at one position of the filter. */
function gatherSegment(
  args: usize,
  target: usize,
  windows: usize,
  padded: i32,
  sixRows: i32,
  depth: i32,
  at: i32,
  count: i32,
  tap: i32,
  second: bool,
  channel: i32,
): void {
  const source = second ? load<usize>(args, slot.X2) : load<usize>(args, slot.X);
  const channels = second ? load<i32>(args, slot.C2) : load<i32>(args, slot.C1);
  const whole = min(count, channels - channel) & ~3;
  const upsample = load<i32>(args, slot.UPSAMPLE);
  const height = load<i32>(args, slot.HEIGHT);
  const width = load<i32>(args, slot.WIDTH);
  const kernelWidth = load<i32>(args, KERNEL_WIDTH);
  const ky = tap / kernelWidth;
  const kx = tap - ky * kernelWidth;
  for (let row = 0; row < padded; row++, windows += ROW_BYTES) {
    const y = (load<i32>(windows, 4) + ky) >> upsample;
    const x = (load<i32>(windows, 8) + kx) >> upsample;
    const pitch: usize = row < sixRows ? 96 : 64;
    let to = rowAddress(target, row, sixRows, depth) + (<usize>(at >> 2)) * pitch;
    if (<u32>y >= <u32>height || <u32>x >= <u32>width) {
      for (let c = 0; c < count; c += 4, to += pitch) v128.store(to, f32x4.splat(0));
      continue;
    }
    const pixel = (load<i32>(windows) * height + y) * width + x;
    let p = source + ((<usize>(pixel * channels + channel)) << 2);
    let c = 0;
    for (; c < whole; c += 4, p += 16, to += pitch) v128.store(to, v128.load(p));
    // What is behind the last channel may be anything, even NaN, which a weight of 0 would not cancel.
    if (c < count) v128.store(to, loadLanes(p, channels - channel - c));
  }
}

/** The first 1 to 3 of four elements, and zeros. */
function loadLanes(from: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(from);
  const two = v128.load64_zero(from);
  return count == 2 ? two : v128.load32_lane(from, two, 2, 8);
}

/** Copies the rows of the last panel, which does not have as many as it should: the last one stands in for them. */
function copyLastRows(first: usize, pitch: usize, rows: i32, padded: i32, depth: i32, to: usize): void {
  const panelRows = foursOf(rows) ? 4 : 6;
  const bytes = (<usize>depth) << 2;
  for (let row = padded - panelRows; row < padded; row++, to += bytes)
    memory.copy(to, first + <usize>min(row, rows - 1) * pitch, bytes);
}

/** Multiplies rows that lie `pitch` bytes apart by a column panel; those of an incomplete last panel are in `tail`. */
function multiplyRows(
  first: usize,
  pitch: usize,
  rows: i32,
  padded: i32,
  sixRows: i32,
  tail: usize,
  column: usize,
  sums: usize,
  depth: i32,
  stride: usize,
  accumulate: bool,
): void {
  const groups = depth >> 2;
  const tailPitch = (<usize>depth) << 2;
  for (let row = 0; row < padded; ) {
    const panelRows = row < sixRows ? 6 : 4;
    const whole = row + panelRows <= rows;
    const from = whole ? first : tail;
    const fromPitch = whole ? pitch : tailPitch;
    if (row < sixRows) multiply6x8(from, fromPitch, 16, column, sums, groups, stride, accumulate);
    else multiply4x8(from, fromPitch, 16, column, sums, groups, stride, accumulate);
    row += panelRows;
    first += <usize>panelRows * pitch;
    sums += <usize>panelRows * stride;
  }
}

function finish(
  args: usize,
  sums: usize,
  stride: usize,
  windows: usize,
  firstRow: i32,
  rows: i32,
  firstPanel: i32,
  endPanel: i32,
): void {
  // Of gated columns, every second panel is gates.
  const shift = load<i32>(args, slot.GATED) ? 2 : 3;
  const first = firstPanel << shift;
  const count = min(endPanel << shift, load<i32>(args, slot.COLUMNS)) - first;
  for (let r = 0; r < rows; r++, sums += stride, windows += ROW_BYTES)
    finishRow(args, sums, firstRow + r, load<i32>(windows), first, count);
}
