// Convolution and linear layers as an implicit GEMM on subgroup matrices with f32 sums: f16 of 16x16x16 (NVIDIA) or 8x16x16
// (Intel), f16 or f32 of 8x8x8 (Apple); see src/kernels/matrix-shape.ts. SUBGROUPS_M x SUBGROUPS_N subgroups a workgroup, SM x
// SN matrices of M x N each. Both operands are staged through workgroup memory, DEPTH x K of the sum at a time; the next step is loaded from memory while one is multiplied. Sums leave through workgroup
// memory, M rows at a time, because matrices cannot be read element by element.
//
// x [rows.., C1] (and x2 [.., C2], read as concatenated) with channels in multiples of 8, weight packed as `rows`, gates (GEGLU)
// half a matrix apart so that a matrix holds both. A subgroup has LANES lanes; RESIZED: or fewer, then there are more subgroups, and those
// that are too many multiply nothing. Variants: WIDEN (f16 in memory, f32 in tiles), CONV or linear, WHOLE (a step never crosses a tap or a source, so that
// addresses only grow), TWO_SOURCES of those (a branch that costs a convolution of one source a fifth), GATED, NARROW (columns in no multiple of 4), APART (the sum may be split over workgroups, gemm-matrix-reduce.wgsl finishes), shape (see
// src/kernels/gemm-matrix-tiling.ts), INT8 (linear layers on signed bytes, 16x16x32 with i32 sums: a byte for every half a f16 takes, so
// that tiles are the same in memory). All else is in Dims: a variant takes the driver a tenth of a second or more.
//
// Why this one (H100, Dawn/Vulkan, driver 580; TFLOP/s of 8192x1920x640, 2048x10240x1280 gated, 8192x640x2560):
//   103, 122, 123  f16 workgroup arrays stored value by value, sizes as constants, finished sums in memory of their own:
//                  50 pipelines for SD1.5, 0.8 s each, which the driver hardly compiles in parallel
//    95, 119, 114  vec4u arrays, sizes in Dims, one copy of loads and epilogue: 11 pipelines, 0.11 s each
//   163, 202, 189  finished sums in the tiles' memory (44 to 23 KiB a workgroup)
//   220, 254, 222  WHOLE: no division, comparison or selection where a step is loaded
//   224, 260, 235  loads issued before the barrier, padding masked when stored and not when loaded
// The epilogue loads all it adds before it stores anything, since no load passes a store: 8192x320x320 with a residual takes 15
// us, 23 before; with tiles of 128x160 by eight subgroups. Biases come from memory that no dispatch has read for a step, 3 us away, so
// they are asked for before all else and wait in workgroup memory; what is added to the next rows is loaded while some are stored, and
// where all is f16 a lane finishes OCTETS, eight columns at a time: half the code, which a kernel begins without. An SD1.5 step
// takes 10.51 ms so, 10.71 with quartets, biases and residuals loaded where they were added. Asking for the first rows' residual
// during the last step of the sum costs registers: 10.77. What is left (2048x10240x1280): matrices alone 450 TFLOP/s, with
// their loads from workgroup memory 400, with stores and barriers 320, with loads from memory 260.
// GROUPS: groups of subgroups each multiply their share of what is staged, and add up in the end. A product that gives each
// multiprocessor one workgroup then has two subgroups where it had one, and as large matrices of sums as before. Microseconds
// of the best without and with (4x5 2x2 4 g2 for 2x5 4x2 4; the second 2x5 2x2 4 g2 for 2x5 2x2 4):
//   114.4, 103.8  2048x1280x5120           16.1, 14.8  2048x640x640
//    61.4,  55.1  3x3, 8192x320x2880       34.0, 33.2  2048x1280x1280; 15.6, 16.7 8192x320x320, where sums are short
// Tiles of 64x80 with a deep stage are for few rows: 512x1280x1280 takes 15.2 us by 1x5 4x1 8 g2, 16.3 by 1x5 4x1 8, 19.0 by 2x2 2x2 4,
// 23.6 by 2x5 2x2 4; between other kernels, with cold caches, 19 and 21 by the first two.
// NARROW: three columns of a picture, 1x512x512 from 128 channels: 136 us by 4x1 4x1 2, 230 by 2x2 2x2 2, 1040 by gemm-tiled.wgsl.
// Multiprocessors give their workgroups 48 KiB together, so a second tile to stage while one is read costs more than it gains
// (155 for 188; for one workgroup a multiprocessor, 2x5 4x2 2: 153 for 161). Slower, too: 64x32 a subgroup (142, 152, 131), 256
// threads with 64x64 each (124, 152, 93).
// Loading two steps before it is multiplied, by a loop of two steps with registers of their own, gains nothing: 3x3, 8192x320x2880 88 for
// 60, 2048x640x5760 83 for 80; 512x1280x1280 19.2 for 19.2. That code, though for one step, took convolutions of two sources a third longer.
// As plain GEMMs, 76 shapes: staged beats loading matrices from storage by 3 to 20 times; f16 sums gain nothing.
#include "lib/flat.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
// v1, v2: vectors of each source's channels. columns: of the output. biased, rowed, added: what the epilogue adds.
struct Dims { rows: u32, columns: u32, groupsM: u32, groupsN: u32, steps: u32, splits: u32, partRows: u32, partColumns: u32, weightRows: u32, v1: u32, v2: u32, imageRows: u32, height: u32, width: u32, outHeight: u32, outWidth: u32, kernelHeight: u32, kernelWidth: u32, stride: u32, padTop: u32, padLeft: u32, upsample: u32, biased: u32, rowed: u32, added: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
// Eight f16 or four f32 in a vec4<u32>: 16-byte loads.
#if ELEMENTS == i8
// From quantize-rows.wgsl: bytes, and a scale for each row.
@group(0) @binding(1) var<storage, read_write> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scratch1: array<f32>;
#else
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
#endif
#if CONV
@group(0) @binding(2) var<storage, read> x2: array<vec4u>;
#endif
@group(0) @binding(3) var<storage, read> weight: array<vec4u>;
#if APART
@group(0) @binding(9) var<storage, read_write> scratch0: array<f32>;
#else
#include "lib/gemm-finish.wgsl"
#endif

#if ELEMENTS == i8
alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;

// Four neighbouring sums, scaled; a packed weight's scales follow its bytes.
fn scaled(sums: vec4u, row: u32, column: u32) -> vec4f {
  let scales = bitcast<vec4f>(weight[dims.weightRows * dims.v1 + column / 4u]);
  return vec4f(bitcast<vec4i>(sums)) * scratch1[row] * scales;
}
#else
#if ELEMENTS == f32
alias Element = f32;
#else
alias Element = f16;
#endif
alias Left = subgroup_matrix_left<Element, K, M>;
alias Right = subgroup_matrix_right<Element, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;
#endif

// PART: vectors of a row staged at a time; as f32 numbers, f16 take twice the place. CHUNK: vectors of a tile that a matrix is
// deep. Rows of a tile are an odd number of vectors apart, so that eight rows are in different banks.
#if WIDEN
const PITCH: u32 = PART * 2u + 1u;
#else
const PITCH: u32 = PART + 1u;
#endif
const MEMBERS: u32 = SUBGROUPS_M * SUBGROUPS_N;
const THREADS: u32 = GROUPS * MEMBERS * LANES;
const TILE_W: u32 = SUBGROUPS_M * SM * M * PITCH;
const TILE: u32 = TILE_W + SUBGROUPS_N * SN * N * PITCH;
// Columns after which values and gates alternate, and vectors of their sums.
const GATE: u32 = N / 2u;
const GATE_VECTORS: u32 = GATE / 4u;
// What a lane finishes at a time are COLUMNS; so many are in a row, and vectors of sums between rows.
#if OCTETS
const COLUMNS: u32 = 8u;
#else
const COLUMNS: u32 = 4u;
#endif
#if GATED
const WIDTH: u32 = SN * N / 2u / COLUMNS;
#else
const WIDTH: u32 = SN * N / COLUMNS;
#endif
const PITCH_Y: u32 = SN * N / 4u + 1u;
// Tiles of x and of the weight; in the end, M rows of finished sums of each subgroup.
var<workgroup> tile: array<vec4u, max(TILE, GROUPS * MEMBERS * M * PITCH_Y)>;

#if !APART
// Of the workgroup's columns; gates' are the second half.
const BIASES: u32 = SUBGROUPS_N * SN * N / COLUMNS;
var<workgroup> biases: array<Held, BIASES>;
#endif

// Four neighbouring sums.
fn sumsAt(at: u32) -> vec4u {
#if GROUPED
  let other = tile[at + MEMBERS * M * PITCH_Y];
#if ELEMENTS == i8
  return bitcast<vec4u>(bitcast<vec4i>(tile[at]) + bitcast<vec4i>(other));
#else
  return bitcast<vec4u>(bitcast<vec4f>(tile[at]) + bitcast<vec4f>(other));
#endif
#else
  return tile[at];
#endif
}

// Puts a vector into a row of a tile.
fn stage(row: u32, part: u32, value: vec4u) {
#if WIDEN
  let at = row * PITCH + part * 2u;
  tile[at] = bitcast<vec4u>(vec4f(unpack2x16float(value.x), unpack2x16float(value.y)));
  tile[at + 1u] = bitcast<vec4u>(vec4f(unpack2x16float(value.z), unpack2x16float(value.w)));
#else
  tile[row * PITCH + part] = value;
#endif
}

// What of the sum is read next. WHOLE: some steps of one source under one tap, for all lanes; else a vector of a tap's channels.
struct Place { vector: u32, line: u32, column: u32, second: bool, steps: u32 }

#if WHOLE
fn placeOf(step: u32) -> Place {
  let vectors = dims.v1 + dims.v2;
  let tap = step * PART / vectors;
  let vector = step * PART % vectors;
  let second = vector >= dims.v1;
  let base = select(0u, dims.v1, second);
  return Place(vector - base, tap / dims.kernelWidth, tap % dims.kernelWidth, second, (select(dims.v1, vectors, second) - vector) / PART);
}
#else
fn advance(start: Place, vectors: u32) -> Place {
  var place = start;
  place.vector += vectors;
  while (place.vector >= dims.v1 + dims.v2) {
    place.vector -= dims.v1 + dims.v2;
    place.column++;
    if (place.column == dims.kernelWidth) {
      place.column = 0u;
      place.line++;
    }
  }
  return place;
}
#endif

#if CONV
// Image, top and left of the filter over the input as the filter sees it: doubled if upsampled.
alias Corner = vec3i;

fn cornerOf(row: u32) -> Corner {
  let image = row / dims.imageRows;
  let line = row / dims.outWidth - image * dims.outHeight;
  let top = i32(line * dims.stride) - i32(dims.padTop);
  let left = i32(row % dims.outWidth * dims.stride) - i32(dims.padLeft);
  return vec3i(i32(image), select(-0x1000000, top, row < dims.rows), left);
}

// Index of the pixel under a tap; -1 in the padding.
fn pixelAt(corner: Corner, place: Place) -> i32 {
  let line = u32(corner.y + i32(place.line));
  let column = u32(corner.z + i32(place.column));
  let inside = (line < dims.height << dims.upsample) & (column < dims.width << dims.upsample) & (place.line < dims.kernelHeight);
  return select(-1, i32((u32(corner.x) * dims.height + (line >> dims.upsample)) * dims.width + (column >> dims.upsample)), inside);
}

#if !WHOLE
fn loadSource(corner: Corner, place: Place) -> vec4u {
  let pixel = pixelAt(corner, place);
  let at = u32(max(pixel, 0));
  var value: vec4u;
  if (place.vector < dims.v1) {
    value = x[at * dims.v1 + place.vector];
  } else {
    value = x2[at * dims.v2 + place.vector - dims.v1];
  }
  return select(vec4u(), value, pixel >= 0);
}
#endif
#else
alias Corner = u32;

fn cornerOf(row: u32) -> Corner {
  return min(row, dims.rows - 1u) * dims.v1;
}

#if !WHOLE
// Rows below the last are not stored, and weights of the padded sum are zeros.
fn loadSource(corner: Corner, place: Place) -> vec4u {
  return select(vec4u(), x[corner + place.vector], place.line == 0u);
}
#endif
#endif

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
#if RESIZED
  @builtin(subgroup_size) subgroupLanes: u32,
#endif
) {
  let flat = flatIndex(group, groups);
  let firstColumn = flat % dims.groupsN * (SUBGROUPS_N * SN * N);
  let firstRow = flat / dims.groupsN % dims.groupsM * (SUBGROUPS_M * SM * M);
  let split = flat / (dims.groupsN * dims.groupsM);
  if (split >= dims.splits) {
    return;
  }
  // Whose sums this lane finishes, and whose it makes.
  let own = lane / LANES;
#if RESIZED
  let subgroup = lane / subgroupLanes;
  let working = subgroup < GROUPS * MEMBERS;
#else
  let subgroup = own;
  const working = true;
#endif
  let rowOffset = subgroup % MEMBERS / SUBGROUPS_N * (SM * M);
  let columnOffset = subgroup % SUBGROUPS_N * (SN * N);
  let firstChunk = subgroup / MEMBERS * (DEPTH / GROUPS * CHUNK);
#if PART == 4
  // What this lane stages: rows 0 and 4, 1 and 5 ... of eight side by side, so that stores are free of bank conflicts.
  let line = lane / 32u * 8u + lane / 8u % 4u + lane / 4u % 2u * 4u;
#else
  let line = lane / PART;
#endif
  let part = lane % PART;
#for i SM
#for j SN
  var sum$i_$j = Sum();
#endfor
#endfor
#if !APART
  // Biases are asked for first of all, since they come from afar.
#if GATED
  let biasColumn = firstColumn / 2u + lane % (BIASES / 2u) * COLUMNS;
  let biasPlace = biasColumn + select(0u, dims.columns, lane >= BIASES / 2u);
#else
  let biasColumn = firstColumn + lane * COLUMNS;
  let biasPlace = biasColumn;
#endif
  var earlyBias = Held();
  if (dims.biased != 0u && lane < BIASES && biasColumn < dims.columns) {
    earlyBias = biasAt(biasPlace);
  }
#endif
  let firstStep = split * dims.steps / dims.splits;
  let lastStep = (split + 1u) * dims.steps / dims.splits;
#for i LOADS_X
  let corner$i = cornerOf(firstRow + line + THREADS / PART * $iu);
  var valueX$i = vec4u();
#endfor
#for i LOADS_W
  var atW$i = (min(firstColumn + line + THREADS / PART * $iu, dims.weightRows - 1u) * dims.steps + firstStep) * PART + part;
  var valueW$i = vec4u();
#endfor
#if WHOLE
  var place = Place();
#for i LOADS_X
#if CONV
  var pixel$i = 0i;
  var atX$i = 0u;
#else
  var atX$i = corner$i + firstStep * PART + part;
#endif
#endfor
#else
  var place = advance(Place(), firstStep * PART + part);
#endif
  // Each round stages what the one before loaded, loads the next step, and multiplies what is staged.
  for (var step = firstStep; step <= lastStep; step++) {
    if (step != firstStep) {
#for i LOADS_X
#if MASKED
      // Here and not where it was loaded, which would wait for it.
      stage(line + THREADS / PART * $iu, part, select(vec4u(), valueX$i, pixel$i >= 0));
#else
      stage(line + THREADS / PART * $iu, part, valueX$i);
#endif
#endfor
#for i LOADS_W
#if RAGGED
      if (line + THREADS / PART * $iu < SUBGROUPS_N * SN * N) {
        stage(SUBGROUPS_M * SM * M + line + THREADS / PART * $iu, part, valueW$i);
      }
#else
      stage(SUBGROUPS_M * SM * M + line + THREADS / PART * $iu, part, valueW$i);
#endif
#endfor
    }
    if (step != lastStep) {
#if WHOLE
#if CONV
      if (place.steps == 0u) {
        place = placeOf(step);
        let vectors = select(dims.v1, dims.v2, place.second);
#for i LOADS_X
        pixel$i = pixelAt(corner$i, place);
        atX$i = u32(max(pixel$i, 0)) * vectors + place.vector + part;
#endfor
      }
      place.steps--;
#endif
#if TWO_SOURCES
      if (place.second) {
#for i LOADS_X
        valueX$i = x2[atX$i];
#endfor
      } else {
#for i LOADS_X
        valueX$i = x[atX$i];
#endfor
      }
#else
#for i LOADS_X
      valueX$i = x[atX$i];
#endfor
#endif
#for i LOADS_X
      atX$i += PART;
#endfor
#else
#for i LOADS_X
      valueX$i = loadSource(corner$i, place);
#endfor
      place = advance(place, PART);
#endif
#for i LOADS_W
      valueW$i = weight[atW$i];
      atW$i += PART;
#endfor
    }
    if (step != firstStep) {
      workgroupBarrier();
#for k SHARE
      if (working) {
#for i SM
        let a$i = subgroupMatrixLoad<Left, row_major>(&tile, (rowOffset + M * $iu) * PITCH + firstChunk + CHUNK * $ku, PITCH);
#endfor
#for j SN
        let b$j = subgroupMatrixLoad<Right, col_major>(&tile, TILE_W + (columnOffset + N * $ju) * PITCH + firstChunk + CHUNK * $ku, PITCH);
#for i SM
        sum$i_$j = subgroupMatrixMultiplyAccumulate(a$i, b$j, sum$i_$j);
#endfor
#endfor
      }
#endfor
      workgroupBarrier();
    }
  }
#if APART
  if (working) {
#for i SM
#for j SN
    subgroupMatrixStore<row_major>(&scratch0, (split * dims.partRows + firstRow + rowOffset + M * $iu) * dims.partColumns + firstColumn + columnOffset + N * $ju, sum$i_$j, dims.partColumns);
#endfor
#endfor
  }
#else
  let base = own % MEMBERS * (M * PITCH_Y);
  let ownRow = firstRow + own % MEMBERS / SUBGROUPS_N * (SM * M);
  let ownColumn = firstColumn + own % SUBGROUPS_N * (SN * N);
#if GATED
  let firstColumnY = ownColumn / 2u;
#else
  let firstColumnY = ownColumn;
#endif
  let firstBias = own % SUBGROUPS_N * WIDTH;
  if (lane < BIASES) {
    biases[lane] = earlyBias;
  }
#for n FINISHED
  let e$n = lane % LANES + LANES * ($nu * GROUPS + own / MEMBERS);
  let row$n = ownRow + e$n / WIDTH;
  let column$n = firstColumnY + e$n % WIDTH * COLUMNS;
#if UNEVEN
  let fits$n = column$n < dims.columns && e$n < M * WIDTH;
#else
  let fits$n = column$n < dims.columns;
#endif
  var at$n = 0u;
  var held$n = Held();
#endfor
  // What is added to the next rows is loaded before these are stored: a load after a store would wait for it.
  for (var i = 0u; i <= SM; i++) {
#for n FINISHED
    let last$n = at$n;
    var next$n = Held();
    at$n = select(0u, ((row$n + M * i) * dims.columns + column$n) / COLUMNS, fits$n && row$n + M * i < dims.rows);
#endfor
#if !NARROW
    if (i < SM) {
      if (dims.added == 1u) {
#for n FINISHED
        next$n = residualAt(at$n);
#endfor
      } else if (dims.added == 2u) {
#for n FINISHED
        next$n = resultAt(at$n);
#endfor
      }
    }
#endif
    if (i > 0u) {
#if ROWED
#for n FINISHED
      var shift$n = Held();
#endfor
      if (dims.rowed != 0u) {
#for n FINISHED
        shift$n = rowVector(select(0u, row$n + M * (i - 1u), row$n + M * (i - 1u) < dims.rows), select(0u, column$n, fits$n));
#endfor
      }
#endif
#for n FINISHED
      if (fits$n && row$n + M * (i - 1u) < dims.rows) {
#for h HALVES
#if GATED
        let vector$h = e$n % WIDTH * HALVES + $hu;
        let first$h = base + e$n / WIDTH * PITCH_Y + vector$h / GATE_VECTORS * (2u * GATE_VECTORS) + vector$h % GATE_VECTORS;
#if ELEMENTS == i8
        let packed$h = (column$n + 4u * $hu) / GATE * N + (column$n + 4u * $hu) % GATE;
        let sum$h = scaled(sumsAt(first$h), row$n + M * (i - 1u), packed$h);
        let open$h = scaled(sumsAt(first$h + GATE_VECTORS), row$n + M * (i - 1u), packed$h + GATE);
#else
        let sum$h = bitcast<vec4f>(sumsAt(first$h));
        let open$h = bitcast<vec4f>(sumsAt(first$h + GATE_VECTORS));
#endif
        let value$h = activate((sum$h + part$h(biases[firstBias + e$n % WIDTH])) * gelu(open$h + part$h(biases[firstBias + e$n % WIDTH + BIASES / 2u])) + part$h(held$n));
#else
        let sums$h = sumsAt(base + e$n / WIDTH * PITCH_Y + e$n % WIDTH * HALVES + $hu);
#if ELEMENTS == i8
        let sum$h = scaled(sums$h, row$n + M * (i - 1u), column$n + 4u * $hu);
#else
        let sum$h = bitcast<vec4f>(sums$h);
#endif
#if ROWED
        let value$h = activate(sum$h + part$h(biases[firstBias + e$n % WIDTH]) + part$h(shift$n) + part$h(held$n));
#else
        let value$h = activate(sum$h + part$h(biases[firstBias + e$n % WIDTH]) + part$h(held$n));
#endif
#endif
#endfor
#if NARROW
#for c 4
        if (column$n + $cu < dims.columns) {
          y[(row$n + M * (i - 1u)) * dims.columns + column$n + $cu] = y_t(value0[$c]);
        }
#endfor
#elif OCTETS
        y[last$n] = vec4u(bitcast<vec2u>(vec4h(value0)), bitcast<vec2u>(vec4h(value1)));
#else
        y[last$n] = vec4<y_t>(value0);
#endif
      }
#endfor
    }
    workgroupBarrier();
    if (i < SM && working) {
      switch (i) {
#for i SM
        case $i: {
#for j SN
          subgroupMatrixStore<row_major>(&tile, subgroup * (M * PITCH_Y) + N / 4u * $ju, sum$i_$j, PITCH_Y);
#endfor
        }
#endfor
        default: {
        }
      }
    }
    workgroupBarrier();
#for n FINISHED
    held$n = next$n;
#endfor
  }
#endif
}
