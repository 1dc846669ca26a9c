/**
 * 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications. Weights are packed as for
 * gemm.ts.
 *
 * Two launches: `winogradInput` transforms the inputs of some tiles, `winograd` multiplies them with transformed weights
 * and transforms the sums. A tile makes 4 x 4 output pixels; tiles are the rows of 36 products, one for each position.
 * A task of the second does a block of tiles times a block of column panels, in blocks along the sum: transforms the
 * weights of one panel into the thread's scratch and multiplies all positions, so that transformed weights are never in
 * memory as a whole: they would be 36 f32 numbers for every 9 stored ones, 200 MB for the starter model.
 *
 * Largest normalised squared error over the test cases, against float64: 3.4e-11 (gemm.ts: 1.0e-12).
 *
 * GFLOP/s, counted as a direct convolution's, with relaxed-simd on one thread of 2 hyper-threads of one EPYC core, the
 * other one busy, where the inner loop alone (gemm-peak.ts) ran at 39 to 41; weights F8_E4M3:
 * - as a matrix product by gemm.ts: 2 x 32 x 32 x 96 -> 96 32, 2 x 8 x 8 x 288 -> 288 29;
 * - this, but weights widened 4 at a time and their columns transformed through memory: 2 x 8 x 8 x 288 -> 288 69;
 * - this: 79, and 85 to 103 at 16 x 16 and 32 x 32 pixels, 65 to 97 for a decoder's 64 channels at 256 x 256.
 * Blocks of 64 tiles and 64 steps were the fastest on average of 32 to 128 tiles and 32 to 64 steps, by 5 to 15 %.
 * For 8 tiles transforming weights takes as long as multiplying, for 128 a tenth of it. Built as simd128: 72 to 81.
 */

import { finishRow } from './lib/epilogue';
import * as slot from './lib/matrix-args';
import { foursOf, multiplyPanels, paddedRows, rowAddress } from './lib/panels';
import { shiftOf } from './lib/weight-type';
import { POSITIONS, transformOutputs, transformPanel, transformWindow } from './lib/winograd-transforms';

/** Transformed inputs: blocks of tiles, each [position][row panels]. */
const INPUTS: usize = slot.OWN;
/** Bytes between positions: a little more than their content, or all 36 would compete for the same cache lines. */
const POSITION_BYTES: usize = slot.OWN + 4;
/** First tile, number of tiles, and tiles of a block. */
const FIRST: usize = slot.OWN + 8;
const TILES: usize = slot.OWN + 12;
const BLOCK_TILES: usize = slot.OWN + 16;
/** Steps of the sum: padded channels of both sources. */
const K: usize = slot.OWN + 20;
/** Steps of a task of the first launch, and of a block along the sum in the second. */
const DEPTH: usize = slot.OWN + 24;
/** Column panels in all, and in a task. */
const PANELS: usize = slot.OWN + 28;
const TASK_PANELS: usize = slot.OWN + 32;

/** Tiles whose windows are looked up together: a panel of rows. */
const MAX_PANEL_ROWS: i32 = 6;
/** Bytes of the 36 addresses of a window. */
const WINDOW_BYTES: usize = 144;

export function winogradInput(args: usize, task: i32, scratch: usize): void {
  const k = load<i32>(args, K);
  const depth = load<i32>(args, DEPTH);
  const chunks = (k + depth - 1) / depth;
  const block = task / chunks;
  const from = (task - block * chunks) * depth;
  const to = min(from + depth, k);
  const firstTile = block * load<i32>(args, BLOCK_TILES);
  const tiles = min(load<i32>(args, BLOCK_TILES), load<i32>(args, TILES) - firstTile);
  const padded1 = (load<i32>(args, slot.C1) + 3) & ~3;
  const inputs =
    load<usize>(args, INPUTS) + <usize>(block * POSITIONS) * load<usize>(args, POSITION_BYTES);
  const first = load<i32>(args, FIRST) + firstTile;
  if (from < padded1)
    transformSource(args, scratch, inputs, first, tiles, from, min(to, padded1), 0);
  if (to > padded1) transformSource(args, scratch, inputs, first, tiles, max(from, padded1), to, padded1);
}

/** Transforms steps `from` to `to` of a block of tiles; all are of the source whose first step is `sourceStep`. */
function transformSource(
  args: usize,
  scratch: usize,
  inputs: usize,
  first: i32,
  tiles: i32,
  from: i32,
  to: i32,
  sourceStep: i32,
): void {
  const source = sourceStep ? load<usize>(args, slot.X2) : load<usize>(args, slot.X);
  const channels = sourceStep ? load<i32>(args, slot.C2) : load<i32>(args, slot.C1);
  const positionBytes = load<usize>(args, POSITION_BYTES);
  const k = load<i32>(args, K);
  const padded = paddedRows(tiles);
  const sixRows = padded - foursOf(tiles) * 4;
  const windows = scratch + 576;
  const zeros = windows + WINDOW_BYTES * MAX_PANEL_ROWS;
  memory.fill(zeros, 0, (<usize>channels << 2) + 16);
  for (let row = 0; row < padded; ) {
    const panelRows = row < sixRows ? 6 : 4;
    for (let r = 0; r < panelRows; r++) {
      const tile = first + min(row + r, tiles - 1);
      findWindow(args, windows + <usize>r * WINDOW_BYTES, tile, source, channels, zeros);
    }
    const panel = rowAddress(inputs, row, sixRows, k);
    for (let step = from; step < to; step += 4) {
      const channel = step - sourceStep;
      const offset = (<usize>channel) << 2;
      const keep = laneMask(channels - channel);
      const at = panel + ((<usize>(step * panelRows)) << 2);
      for (let r = 0; r < panelRows; r++)
        transformWindow(
          windows + <usize>r * WINDOW_BYTES,
          offset,
          keep,
          at + ((<usize>r) << 4),
          positionBytes,
          scratch,
        );
    }
    row += panelRows;
  }
}

/** All ones in the first `count` lanes. */
function laneMask(count: i32): v128 {
  return i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3));
}

/** Stores the addresses of a tile's 36 input pixels, that of zeros for those outside. */
function findWindow(args: usize, window: usize, tile: i32, source: usize, channels: i32, zeros: usize): void {
  const tilesX = (load<i32>(args, slot.OUT_WIDTH) + 3) >> 2;
  const tilesY = (load<i32>(args, slot.OUT_HEIGHT) + 3) >> 2;
  const height = load<i32>(args, slot.HEIGHT);
  const width = load<i32>(args, slot.WIDTH);
  const upsample = load<i32>(args, slot.UPSAMPLE);
  const tileRow = tile / tilesX;
  const image = tileRow / tilesY;
  const top = (tileRow - image * tilesY) * 4 - load<i32>(args, slot.PAD_TOP);
  const left = (tile - tileRow * tilesX) * 4 - load<i32>(args, slot.PAD_LEFT);
  for (let i = 0; i < 6; i++) {
    const y = (top + i) >> upsample;
    const row = (image * height + y) * width;
    for (let j = 0; j < 6; j++, window += 4) {
      const x = (left + j) >> upsample;
      const inside = <u32>y < <u32>height && <u32>x < <u32>width;
      store<usize>(window, inside ? source + ((<usize>((row + x) * channels)) << 2) : zeros);
    }
  }
}

export function winograd(args: usize, task: i32, scratch: usize): void {
  const k = load<i32>(args, K);
  const blockDepth = load<i32>(args, DEPTH);
  const panels = load<i32>(args, PANELS);
  const taskPanels = load<i32>(args, TASK_PANELS);
  const columnTasks = (panels + taskPanels - 1) / taskPanels;
  const block = task / columnTasks;
  const firstPanel = (task - block * columnTasks) * taskPanels;
  const endPanel = min(firstPanel + taskPanels, panels);
  const firstTile = block * load<i32>(args, BLOCK_TILES);
  const tiles = min(load<i32>(args, BLOCK_TILES), load<i32>(args, TILES) - firstTile);
  const padded = paddedRows(tiles);
  const sixRows = padded - foursOf(tiles) * 4;
  const positionBytes = load<usize>(args, POSITION_BYTES);
  const inputs = load<usize>(args, INPUTS) + <usize>(block * POSITIONS) * positionBytes;
  const type = load<i32>(args, slot.WEIGHT_TYPE);
  const elementShift = shiftOf(type);
  const weight = load<usize>(args, slot.WEIGHT);
  const tapBytes = (<usize>k) << (3 + elementShift);

  const rowBytes = (<usize>(endPanel - firstPanel)) << 5;
  const sumsBytes = rowBytes * <usize>padded + 64;
  const columnBytes = ((<usize>blockDepth) << 5) + 64;
  const columns = scratch + 384;
  const sums = columns + columnBytes * POSITIONS;
  for (let from = 0; from < k; from += blockDepth) {
    const depth = min(blockDepth, k - from);
    for (let panel = firstPanel; panel < endPanel; panel++) {
      const stored = weight + <usize>panel * 9 * tapBytes + ((<usize>from) << (3 + elementShift));
      transformPanel(stored, type, tapBytes, depth, columns, columnBytes, scratch);
      let rows = inputs;
      let column = columns;
      let to = sums + ((<usize>(panel - firstPanel)) << 5);
      for (let position = 0; position < POSITIONS; position++) {
        multiplyPanels(rows, padded, sixRows, k, from, column, to, depth, rowBytes, from > 0);
        rows += positionBytes;
        column += columnBytes;
        to += sumsBytes;
      }
    }
  }
  const first = firstPanel << 3;
  const count = min(endPanel << 3, load<i32>(args, slot.COLUMNS)) - first;
  const tile = load<i32>(args, FIRST) + firstTile;
  for (let t = 0; t < tiles; t++)
    finishTile(args, scratch, sums + <usize>t * rowBytes, sumsBytes, tile + t, first, count);
}

/** Transforms a tile's sums and finishes its pixels. */
function finishTile(
  args: usize,
  scratch: usize,
  sums: usize,
  stride: usize,
  tile: i32,
  first: i32,
  count: i32,
): void {
  const outHeight = load<i32>(args, slot.OUT_HEIGHT);
  const outWidth = load<i32>(args, slot.OUT_WIDTH);
  const tilesX = (outWidth + 3) >> 2;
  const tilesY = (outHeight + 3) >> 2;
  const tileRow = tile / tilesX;
  const image = tileRow / tilesY;
  const top = (tileRow - image * tilesY) * 4;
  const left = (tile - tileRow * tilesX) * 4;
  // Over the transformed columns, which are no longer needed.
  const pixels = scratch + 384;
  const pixelBytes = ((<usize>count + 3) & ~3) << 2;
  for (let at: usize = 0; at < pixelBytes; at += 16)
    transformOutputs(sums + at, stride, pixels + at, pixelBytes, scratch);
  const bottom = min(4, outHeight - top);
  const right = min(4, outWidth - left);
  for (let i = 0; i < bottom; i++) {
    const row = (image * outHeight + top + i) * outWidth + left;
    for (let j = 0; j < right; j++)
      finishRow(args, pixels + <usize>(i * 4 + j) * pixelBytes, row + j, image, first, count);
  }
}
